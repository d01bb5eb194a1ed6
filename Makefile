# make demo   sets everything up, trains on MovieLens-100K, prints the table, recommends for one invented user
# make tables runs every config of every table (hours; goes on where it was broken off) and renders them
# make quick  a smoke run of all that, whose results are thrown away
# make bench  measures speed against competitors in the same run; writes experiments/results/bench_*.json
# make paper  builds paper/main.pdf from the committed tables and figures
# make fuzz   tries random files, configs and users for some ten minutes (FUZZ=50 times what make test tries)
# make kills  kills runs, searches, reading and saving at 100 random moments; nothing may be lost (ten minutes or more)
# make docs   builds the documentation into build/docs, and runs its notebooks
# make test   sets everything up, checks style, types and import contracts, and runs all tests
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
DEMO := popularity segment-popularity als-attribute-map graphsage-pretraining graphsage

# Freed memory is kept: new pages for each step took 30 to 60 % of the time on large catalogues. Numbers are the same.
tables quick: export MALLOC_MMAP_MAX_ = 0
tables quick: export MALLOC_TRIM_THRESHOLD_ = 17179869184

.PHONY: demo test fuzz kills tables quick bench docs paper clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/gnnrec schema --out configs/schema.json
	touch $@

demo: $(READY)
	$(BIN)/gnnrec data fetch ml-100k
	$(BIN)/gnnrec run $(DEMO:%=configs/ml-100k/%.yaml) --out runs/demo
	$(BIN)/gnnrec recommend runs/demo/graphsage/0 --user '{"age": 25, "gender": "F", "occupation": "artist"}' -k 10

test: $(READY)
	-$(BIN)/gnnrec data fetch ml-100k
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gnnrec
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

FUZZ ?= 50
fuzz: $(READY)
	GNNREC_FUZZ=$(FUZZ) $(BIN)/pytest -n 2 tests/fuzz

KILLS ?= 100
kills: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/kills.py --kills $(KILLS) --seed $$RANDOM

tables: $(READY)
	$(BIN)/python -m experiments.reproduce

quick: $(READY)
	$(BIN)/python -m experiments.reproduce --quick --workers 2
	rm -rf runs/quick-replay
	$(BIN)/gnnrec replay docs/examples/hundredth_click.yaml model.finetune.epochs=2 split.test=0.05 replay.windows=2 --out runs/quick-replay

bench: $(READY)
	for name in propagation training time_to_quality unseen_users serving events growth processes http busy portable ray; do $(BIN)/python -m experiments.bench_$$name || exit 1; done

.venv/docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

docs: .venv/docs
	rm -rf build/docs build/notebooks
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs

paper:
	@command -v latexmk > /dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends latexmk texlive-latex-base texlive-latex-recommended texlive-fonts-recommended; } \
	  || { echo "error: latexmk is missing; install latexmk and texlive, or run make paper as root" >&2; exit 2; }
	cd paper && latexmk -pdf -interaction=nonstopmode -halt-on-error -quiet main.tex

clean:
	rm -rf .venv runs
