import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import refused
from synthetic_table import write_shop

QUICK = ["model.finetune.epochs=6", "model.pretrain=null"]


def edit(path: Path, column: str, row: int, value: Any) -> None:
    table = pd.read_csv(path, dtype=str)
    table.loc[row, column] = value
    table.to_csv(path, index=False)


def test_run_prints_a_table_writes_a_folder_and_is_not_run_again(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    answer = gnnrec("run", config, *QUICK, "--seeds", "0,1")
    assert answer.code == 0, answer.err
    assert "ndcg@10" in answer.out
    assert "shop" in answer.out
    for seed in ("0", "1"):
        folder = tmp_path / "runs" / "shop" / seed
        assert {"config.yaml", "result.json", "per_user.parquet"} <= {p.name for p in folder.iterdir()}
    before = (tmp_path / "runs" / "shop" / "0" / "result.json").stat().st_mtime_ns
    answer = gnnrec("run", config, *QUICK, "--json")
    assert (tmp_path / "runs" / "shop" / "0" / "result.json").stat().st_mtime_ns == before
    result = json.loads(answer.out)[0]
    assert {"config", "seed", "metrics", "users", "users_without_target", "checksums", "seconds", "versions"} <= set(
        result
    )


def test_compare_shows_intervals(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    (tmp_path / "popularity.yaml").write_text(config.read_text().split("model:")[0] + "model: {class: Popularity}\n")
    gnnrec("run", config, *QUICK, "evaluate={}", "--seeds", "0,1")
    gnnrec("run", "popularity.yaml", "--seeds", "0,1")
    answer = gnnrec("compare", "runs", "--reference", "popularity", "--json")
    assert answer.code == 0, answer.err
    row = next(row for row in json.loads(answer.out) if row["name"] == "shop")
    assert row["difference"]["low"] < row["difference"]["mean"] < row["difference"]["high"]
    assert row["difference"]["p_value"] <= row["difference"]["p_value_holm"] <= 1
    assert "95 % interval" in gnnrec("compare", "runs").out
    refused(gnnrec("compare", "runs/shop", "no_such_folder"), "no_such_folder")


def test_every_column_of_a_wide_table_has_its_name(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    names = ("ndcg", "recall", "precision", "map", "hit", "coverage")
    wide = f"evaluate={{metrics: [{', '.join(names)}], at: [3, 5, 10, 50]}}"
    answer = gnnrec("run", config, "model={class: Popularity}", wide)
    for name in names:
        assert all(f" {name}@{k} " in answer.out for k in (3, 5, 10, 50))


def test_a_script_of_ones_own_does_not_stand_in_for_a_library(gnnrec: Any, tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "beside_libraries.py").write_text("import colorsys\nfrom torch_geometric.nn import SAGEConv\n")
    sys.modules.pop("colorsys", None)
    answer = gnnrec("check-layer", "beside_libraries.SAGEConv")
    assert answer.code == 0, answer.err


def test_check_tells_whether_expected_numbers_are_met(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    text = config.read_text()
    config.write_text(text + 'expected: {"ndcg@10": {mean: 0.5, within: 0.5}}\n')
    assert gnnrec("run", config, *QUICK, "--check").code == 0
    config.write_text(text + 'expected: {"ndcg@10": {mean: 2.0, within: 0.1}}\n')
    answer = gnnrec("run", config, *QUICK, "--check")
    assert answer.code == 1
    assert "MISSED: shop ndcg@10" in answer.err


def test_recommend_serves_a_user_who_stands_in_no_file(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    gnnrec("run", config, *QUICK)
    run = tmp_path / "runs" / "shop" / "0"
    answer = gnnrec("recommend", run, "--user", '{"age": 25, "interests": ["tea", "golf"]}', "-k", "3")
    assert answer.code == 0, answer.err
    assert answer.out.count("Thing ") == 3
    assert "warning: interests: 'golf' is a value that training has not seen and is ignored" in answer.err
    answer = gnnrec("recommend", run, "--items", "sku/0,sku/3", "--json")
    items = [row["item"] for row in json.loads(answer.out)["items"]]
    assert len(items) == 10
    assert not {"sku/0", "sku/3"} & set(items)
    refused(gnnrec("recommend", run, "--user", "age=25"), "--user: not JSON", "age=25")
    refused(gnnrec("recommend", run, "--user", "[1]"), "--user: must be a JSON object")
    refused(gnnrec("recommend", tmp_path / "runs" / "none"), "no such run folder")


def test_recommend_serves_a_model_that_counts(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    (tmp_path / "segment.yaml").write_text(
        config.read_text().split("model:")[0] + "model: {class: SegmentPopularity}\n"
    )
    gnnrec("run", "segment.yaml")
    answer = gnnrec("recommend", "runs/segment/0", "--user", '{"has": "cooking", "interests": "chess"}', "--json")
    groups = [int(row["item"].removeprefix("sku/")) % 3 for row in json.loads(answer.out)["items"][:5]]
    assert groups.count(1) >= 4


def test_unknown_config_key(gnnrec: Any, tmp_path: Path) -> None:
    answer = gnnrec("run", write_shop(tmp_path), "model.encoder.drop_out=0.5")
    refused(answer, "shop.yaml: model.encoder: unknown key 'drop_out'. Did you mean 'dropout'?")


def test_missing_files(gnnrec: Any, tmp_path: Path) -> None:
    refused(gnnrec("run", "none.yaml"), "none.yaml: no such config file")
    config = write_shop(tmp_path)
    (tmp_path / "friends.csv").unlink()
    refused(gnnrec("run", config), "friends.csv", "no such file")


def test_missing_column(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    refused(gnnrec("run", config, "data.interactions.value=ratng"), "ratings.csv", "'ratng'", "rating")


def test_an_id_that_is_not_among_the_users(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    edit(tmp_path / "ratings.csv", "user_id", 3, "u-999")
    refused(gnnrec("run", config), "ratings.csv", "line 5", "user_id", "u-999", "users.csv")


def test_a_rating_that_is_no_number(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    edit(tmp_path / "ratings.csv", "rating", 7, "four")
    refused(gnnrec("run", config), "ratings.csv", "line 9", "rating", "four")
    answer = gnnrec("run", config, "data.on_bad_row=skip", *QUICK, "--json")
    assert json.loads(answer.out)[0]["skipped_rows"] == 1


def test_a_layer_that_does_not_exist_or_whose_options_do_not_fit(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    refused(gnnrec("run", config, "model.encoder.layer=SAGE"), "encoder.layer", "SAGE", "AttributeAttention")
    refused(gnnrec("run", config, "model.encoder.layer=torch_geometric.nn.SAGEKonv"), "SAGEKonv", "SAGEConv")
    refused(gnnrec("run", config, "model.encoder.layer_options={agr: mean}"), "'agr'", "Did you mean 'aggr'?")


def test_a_run_folder_from_another_config(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    gnnrec("run", config, *QUICK)
    answer = gnnrec("run", config, *QUICK, "model.encoder.channels=8")
    refused(answer, "runs/shop/0", "another config", "--out")


def test_an_empty_training_set(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    refused(gnnrec("run", config, "data.positive.min_value=9"), "no interaction is left", "data.positive")
    refused(gnnrec("run", config, "split.test=0.6", "split.validation=0.5"), "split.validation", "none to train on")
    ratings = tmp_path / "ratings.csv"
    ratings.write_text(ratings.read_text().splitlines()[0] + "\n")
    refused(gnnrec("run", config), "ratings.csv")


def test_attributes_that_are_all_missing_warn_and_the_model_runs(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    users = pd.read_csv(tmp_path / "users.csv")
    users["gender"] = None
    users.to_csv(tmp_path / "users.csv", index=False)
    answer = gnnrec("run", config, *QUICK)
    assert answer.code == 0
    assert sum(line.startswith("warning: ") and "gender" in line for line in answer.err.splitlines()) == 1


def test_wrong_seeds(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    refused(gnnrec("run", config, "--seeds", "a,b"), "--seeds", "0,1,2")
    refused(gnnrec("run", config, "--seeds", "1,1"), "--seeds")
    refused(gnnrec("run", config, "--seeds", f"0,{2**32}"), "--seeds", "from 0 to 4294967295")
    refused(gnnrec("run", config, f"seed={2**32}"), "seed: 4294967296 is not allowed")
    refused(gnnrec("run", config, config), "two configs are called shop")


def test_a_base_is_refused_and_a_config_that_extends_it_runs(gnnrec: Any, tmp_path: Path) -> None:
    shop = write_shop(tmp_path)
    base = shop.rename(tmp_path / "_base.yaml")
    row = tmp_path / "rows" / "popularity.yaml"
    row.parent.mkdir()
    row.write_text("extends: ../_base.yaml\nmodel: {class: Popularity}\n")
    refused(gnnrec("run", base, row), "_base.yaml", "is a base of other configs and no complete run")
    assert gnnrec("run", row).code == 0
    written = yaml.safe_load(Path("runs/popularity/0/config.yaml").read_text())
    assert "extends" not in written
    assert written["data"]["interactions"]["path"] == "../ratings.csv"


def test_the_schema_is_printed_or_written(gnnrec: Any, tmp_path: Path) -> None:
    answer = gnnrec("schema")
    assert answer.code == 0
    assert json.loads(answer.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    written = gnnrec("schema", "--out", tmp_path / "new" / "schema.json")
    assert (written.code, written.out) == (0, "")
    assert (tmp_path / "new" / "schema.json").read_text() == answer.out


def test_layers_and_check_layer(gnnrec: Any, tmp_path: Path) -> None:
    answer = gnnrec("layers", "--json")
    names = [row["name"] for row in json.loads(answer.out)]
    assert "AttributeAttention" in names
    assert "torch_geometric.nn.SAGEConv" in names
    assert gnnrec("check-layer", "torch_geometric.nn.SAGEConv", "aggr=mean").code == 0
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n"
        "class Forgetful(nn.Module):\n"
        "    def __init__(self, in_channels, out_channels):\n"
        "        super().__init__()\n"
        "        self.root = nn.Linear(in_channels, out_channels)\n\n"
        "    def forward(self, x, edge_index):\n"
        "        return self.root(x[1])\n"
    )
    answer = gnnrec("check-layer", "mine.Forgetful")
    assert answer.code == 1
    assert "FAILED" in answer.out
    refused(gnnrec("check-layer", "mine.Forgetfull"), "Forgetfull")


def test_data_commands(gnnrec: Any) -> None:
    answer = gnnrec("data", "list", "--json")
    assert {"ml-100k", "hetrec-lastfm", "ml-1m", "renttherunway", "ta-feng"} <= {
        r["name"] for r in json.loads(answer.out)
    }
    assert "ml-100k" in gnnrec("data", "list").out
    refused(gnnrec("data", "fetch", "ml-100"), "ml-100", "ml-100k")


def test_describe_takes_a_config(gnnrec: Any, tmp_path: Path) -> None:
    answer = gnnrec("data", "describe", write_shop(tmp_path), "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["users"] == 150
    assert "interests" in gnnrec("data", "describe", tmp_path / "shop.yaml").out


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(
            [name]
            for name in (
                *("run", "replay", "compare", "tune", "recommend", "embed", "update"),
                *("data", "check-layer", "layers", "schema"),
            )
        ),
    ],
)
def test_every_command_has_help(gnnrec: Any, command: list[str]) -> None:
    answer = gnnrec(*command, "--help")
    assert answer.code == 0
    assert "Usage" in answer.out


def test_help_imports_neither_torch_nor_pandas() -> None:
    program = (
        "import sys\nsys.argv = ['gnnrec', '--help']\nfrom gnnrec.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit(3 if {'torch', 'pandas', 'torch_geometric'} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def popularity_configs(folder: Path, *names: str) -> list[Path]:
    head = write_shop(folder).read_text().split("model:")[0]
    for name in names:
        (folder / f"{name}.yaml").write_text(head + "model: {class: Popularity}\n")
    return [Path(f"{name}.yaml") for name in names]


def test_of_a_list_of_configs_one_that_cannot_run_does_not_stop_the_others(gnnrec: Any, tmp_path: Path) -> None:
    first, lost, unknown, last = popularity_configs(tmp_path, "first", "lost", "unknown", "last")
    lost.write_text(lost.read_text().replace("ratings.csv", "none.csv"))
    unknown.write_text(unknown.read_text().replace("Popularity", "Popularty"))
    answer = gnnrec("run", first, lost, unknown, last, "no_file.yaml", "--json")
    assert answer.code == 2
    assert [row["name"] for row in json.loads(answer.out)] == ["first", "last"]
    errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert all(any(part in line for line in errors) for part in ("none.csv: no such file", "'Popularty'", "no_file"))
    assert any(line.startswith("error: lost seed 0: ") for line in errors)
    assert "Traceback" not in answer.err
    answer = gnnrec("run", lost, unknown)
    assert (answer.code, answer.out) == (2, "")
    refused(gnnrec("run", lost), "none.csv")


def test_a_search_that_cannot_begin_does_not_stop_the_others(gnnrec: Any, tmp_path: Path) -> None:
    first, lost = popularity_configs(tmp_path, "first", "lost")
    lost.write_text(lost.read_text().replace("ratings.csv", "none.csv"))
    answer = gnnrec("tune", lost, first, "--json")
    assert answer.code == 2
    assert [row["name"] for row in json.loads(answer.out)] == ["first"]
    assert "error: lost: " in answer.err


def test_text_that_looks_like_markup_is_printed_as_it_is(gnnrec: Any, tmp_path: Path) -> None:
    (path,) = popularity_configs(tmp_path, "[bold]red")
    items = pd.read_csv(tmp_path / "items.csv")
    items["title"] = "[red]x[/red] :smile: \x1b[2J\u202e" + items["title"]
    items.to_csv(tmp_path / "items.csv", index=False)
    answer = gnnrec("run", path)
    assert answer.code == 0, answer.err
    assert "[bold]red" in answer.out
    answer = gnnrec("recommend", "runs/[bold]red/0", "--user", '{"[i]": "[/b]"}', "-k", "3")
    assert answer.out.count("[red]x[/red] :smile: \\x1b[2J\\u202eThing ") == 3
    assert "unknown attribute '[i]' is ignored" in answer.err
    refused(gnnrec("run", "[nobody].yaml"), "[nobody].yaml: no such config file")
    refused(gnnrec("run", "no\x07\nbody.yaml"), "no\\x07\\nbody.yaml: no such config file")


def test_a_file_called_as_a_library_that_is_not_installed_is_not_imported(
    gnnrec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = popularity_configs(tmp_path, "knn")
    path.write_text(path.read_text().replace("Popularity", "ALS"))
    (tmp_path / "implicit.py").write_text("raise SystemExit('a script of ones own')\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "implicit"]:
        monkeypatch.delitem(sys.modules, name)
    site = Path(__import__("torch").__file__).parents[1]
    monkeypatch.setattr(sys, "path", [one for one in sys.path if Path(one).resolve() != site.resolve()])
    refused(gnnrec("run", path), "needs the library implicit: pip install 'gnnrec[mf]'")


def test_a_module_that_ends_python_is_an_error_line(gnnrec: Any, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import sys\n\nsys.exit(0)\n")
    refused(gnnrec("check-layer", "ends.Conv"), "ends.Conv: cannot import ends: SystemExit: 0")
    (path,) = popularity_configs(tmp_path, "ends_too")
    refused(gnnrec("run", path, "model.class=ends.Model"), "model.class: ends.Model: cannot import ends")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "here"), "error: here: No space left on device"),
        (MemoryError("Unable to allocate 9 TiB"), "error: there is not enough memory (Unable to allocate 9 TiB)"),
        (RecursionError(), "nested too deeply"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    gnnrec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    (path,) = popularity_configs(tmp_path, "any")

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("gnnrec.experiment.run.run", refuse)
    refused(gnnrec("run", path), said.removeprefix("error: "))


def test_a_table_in_a_pipe_has_its_columns_whole(gnnrec: Any, tmp_path: Path) -> None:
    (path,) = popularity_configs(tmp_path, "p" * 150)
    answer = gnnrec("run", path, "--seeds", "0,1")
    assert "p" * 150 in answer.out
    assert all(f" {name}@{k} " in answer.out for name in ("ndcg", "coverage") for k in (10, 20))
    gnnrec("run", path, "model.class=Random", "--out", "others", "--seeds", "0,1")
    assert " its interval " in gnnrec("compare", "runs", "others", "--reference", "others").out
