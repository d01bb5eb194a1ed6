# make demo   sets everything up, trains on MovieLens-100K, prints the table, recommends for one invented user
# make tables runs every config of the main table and renders it
# make test   sets everything up, checks style, types and import contracts, and runs all tests
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
DEMO := popularity segment-popularity als-attribute-map graphsage-no-pretraining graphsage

.PHONY: demo test tables clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
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

tables: $(READY)
	$(BIN)/gnnrec run configs/ml-100k/*.yaml --seeds 0,1,2 --out runs/ml-100k
	$(BIN)/gnnrec run configs/hetrec-lastfm/*.yaml --seeds 0,1,2 --out runs/hetrec-lastfm
	$(BIN)/python -m experiments.table_cold_start runs/ml-100k runs/hetrec-lastfm

clean:
	rm -rf .venv runs
