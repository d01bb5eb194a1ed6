import warnings
from pathlib import Path

import pytest

from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.results import config_checksum
from gnnrec.models.graphsage import GraphSAGE

CONFIG = """
data: {source: table, interactions: {path: ratings.csv, user: user, item: item}}
split: {kind: unseen_users, test: 0.2, validation: 0.2}
model:
  class: GraphSAGE
  encoder: {channels: 8}
  finetune: {epochs: 1}
"""


def write(folder: Path, text: str = CONFIG, name: str = "sage.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        read_config(path, overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_what_is_left_out_gets_its_default_and_is_written_back(tmp_path: Path) -> None:
    config = read_config(write(tmp_path))
    assert config.name == "sage"
    written = config.written(tmp_path / "runs" / "sage" / "0")
    assert written["model"]["encoder"]["layer"] == "torch_geometric.nn.SAGEConv"
    assert written["model"]["finetune"]["epochs"] == 1
    assert written["base"] == "../../.."
    assert written["evaluate"]["at"] == [10, 20]


def test_the_written_config_reads_back_the_same_from_its_own_folder(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    config = read_config(write(tmp_path))
    folder = tmp_path / "runs" / "sage" / "0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config.written(folder))))
    again = read_config(folder / "config.yaml")
    assert again.name == "sage"
    assert again.folder == config.folder == tmp_path.resolve()
    assert again.config.model_dump(exclude={"base"}) == config.config.model_dump(exclude={"base"})


def test_overrides_have_dotted_keys(tmp_path: Path) -> None:
    config = read_config(write(tmp_path), ["model.encoder.channels=16", "model.pretrain=null", "evaluate.at=[5]"])
    model = config.model()
    assert isinstance(model, GraphSAGE)
    assert model.encoder.channels == 16
    assert model.pretrain is None
    assert config.config.evaluate.at == [5]


def test_a_mapping_replaces_the_one_that_stands_there(tmp_path: Path) -> None:
    path = write(tmp_path, CONFIG.replace("{channels: 8}", "{channels: 8, layer_options: {aggr: mean}}"))
    layer = ["model.encoder.layer=AttributeAttention", "model.encoder.layer_options={}"]
    assert "aggr" not in read_config(path, layer).config.model["encoder"]["layer_options"]


def test_chosen_options_replace_those_of_the_config(tmp_path: Path) -> None:
    model = read_config(write(tmp_path)).model({"finetune.epochs": 7})
    assert model.finetune.epochs == 7
    assert model.encoder.channels == 8


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sed=1", "unknown key 'sed'. Did you mean 'seed'?"),
        ("model.encoder.drop_out=0.1", "model.encoder: unknown key 'drop_out'. Did you mean 'dropout'?"),
        (
            "model.finetune.lerning_rate=0.1",
            "model.finetune: unknown key 'lerning_rate'. Did you mean 'learning_rate'?",
        ),
        ("model.finetune.loss=softmx", "model.finetune.loss: unknown value 'softmx'. Did you mean 'softmax'?"),
        ("model.encoder.dropout=1.5", "model.encoder.dropout: 1.5 is not allowed"),
        ("model.class=GraphSAG", "Did you mean 'GraphSAGE'?"),
        ("model.encoder.layer=torch_geometric.nn.SAGEConf", "SAGEConf"),
        ("model.encoder.layer=no_such_package.Conv", "cannot import no_such_package"),
        ("model.encoder.layer_options={heads: 2}", "SAGEConv has no option 'heads'"),
        ("model.encoder.layer_options={aggr: 7}", "SAGEConv"),
        ("split.kind=unseen_user", "Did you mean 'unseen_users'?"),
        ("split.test=1.2", "split.test: 1.2 is not allowed"),
        ("data.source=ml-100", "ml-100k"),
        ("data.interactions.usr=x", "data.interactions: unknown key 'usr'. Did you mean 'user'?"),
        ("evaluate.metrics=[ndgc]", "ndcg"),
        ("evaluate.at=[0]", "evaluate.at"),
        ("expected={'ndcg@7': {mean: 0.1, within: 0.1}}", "'ndcg@7' is not measured"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_where_and_what_is_allowed(
    tmp_path: Path, override: str, said: str
) -> None:
    path = write(tmp_path)
    message = refused(path, override)
    assert said in message
    assert message.startswith(str(path))


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    assert "no such config file" in refused(tmp_path / "none.yaml")
    assert "cannot be read" in refused(write(tmp_path, "a: [1\nb: 2"))
    assert "must be a mapping" in refused(write(tmp_path, "- 1\n- 2\n"))
    assert "missing key 'class'" in refused(write(tmp_path, CONFIG.replace("class: GraphSAGE", "")))
    assert "missing key" in refused(write(tmp_path, CONFIG.replace("split:", "expected: {} #")))


def test_metrics_of_values_for_a_model_that_ranks_are_refused_before_any_data_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ranks.yaml"
    head = "data: {source: ml-1m}\nsplit: {kind: unseen_users, test: 0.2}\nevaluate: {metrics: [rmse]}\n"
    path.write_text(head + "model: {class: Popularity}\n")
    with pytest.raises(ConfigError, match=r"ranks.yaml: evaluate.metrics: rmse .* Popularity only ranks.*Biases"):
        read_config(path)
    path.write_text(head + "model: {class: Biases}\n")
    assert read_config(path).config.evaluate.names == ("rmse",)


def test_the_budget_of_a_search_is_no_part_of_what_a_run_computes(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("data: {source: ml-1m}\nsplit: {kind: unseen_users, test: 0.2}\nmodel: {class: Popularity}\n")
    plain, other = (read_config(path, o).config.model_dump(mode="json") for o in ([], ["tuning.trials=3"]))
    assert plain["tuning"] == {"trials": 20, "minutes": 5.0, "metric": None}
    assert config_checksum(plain) == config_checksum(other)
    with pytest.raises(ConfigError, match=r"tuning\.trials"):
        read_config(path, ["tuning.trials=0"])
    with pytest.raises(ConfigError, match=r"tuning\.metric: 'mrr' is not measured; there are .*'ndcg@10'"):
        read_config(path, ["tuning.metric=mrr"])


def test_a_rating_model_on_positive_interactions_alone_is_warned_of(tmp_path: Path) -> None:
    rating = ["model={class: GraphSAGE, finetune: {objective: rating}}", "data.interactions.value=rating"]
    path = write(tmp_path)
    with pytest.warns(UserWarning, match=r"GraphSAGE predicts ratings, but data.positive leaves those below 4 out"):
        read_config(path, [*rating, "data.positive={min_value: 4}"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        read_config(path, rating)


@pytest.mark.parametrize(
    "secret",
    ["${oc.env:HOME}", "a ${oc.env:HOME,x}", "${oc.decode:${oc.env:HOME}}", "${ oc.env:HOME}", "${${seed}:HOME}"],
)
def test_the_environment_does_not_come_into_a_config(tmp_path: Path, secret: str) -> None:
    message = refused(write(tmp_path, CONFIG.replace("ratings.csv", f'"{secret}"')))
    assert "data.interactions.path" in message
    assert "write the value itself" in message
    assert str(Path.home()) not in message.replace(str(tmp_path), "")
    assert "is not allowed" in refused(write(tmp_path), f"data.interactions.path={secret}")


def test_another_key_may_be_named(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, CONFIG.replace("epochs: 1", "epochs: '${model.encoder.channels}'")))
    assert config.config.model["finetune"]["epochs"] == 8


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=" + "9" * 5000, "cannot be read"),
        ("seed=0x" + "f" * 5000, "seed: a whole number beyond 64 bits is not allowed"),
        ("seed=9223372036854775808", "seed: a whole number beyond 64 bits"),
        ("model.finetune.learning_rate=.inf", "model.finetune.learning_rate: inf is not allowed"),
        ("model.finetune.weight_decay=.nan", "model.finetune.weight_decay: nan is not allowed"),
        ("model.finetune.weight_decay=1e300", "model.finetune.weight_decay: 1e+300 is not allowed"),
        ("model.finetune.learning_rate=inf", "model.finetune.learning_rate: inf is not allowed"),
        ("model.num_neighbors=-1", "num_neighbors: must be at least 1, got -1"),
        ("model.num_neighbors={friend: 0}", "num_neighbors: must be at least 1, got 0"),
        ("data.users={path: u.csv, id: u, attributes: {age: {bins: 1000000000000}}}", "bins"),
        ("seed=" + "[" * 3000, "nested too deeply"),
        ("model.x=" + "{a: " * 60 + "1" + "}" * 60, "holds values within more than 50 others"),
    ],
)
def test_depth_and_size_are_known_from_the_config(tmp_path: Path, override: str, said: str) -> None:
    message = refused(write(tmp_path), override)
    assert said in message
    assert len(message) < 1000


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 3000, "- " * 3000])
def test_a_file_that_is_nested_deeply(tmp_path: Path, text: str) -> None:
    assert "cannot be read" in refused(write(tmp_path, text))


def test_references_to_references_are_counted_each_time(tmp_path: Path) -> None:
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert "holds more than 100,000 values" in refused(write(tmp_path, "l0: &l0 [1, 2, 3]\n" + levels))
    read_config(write(tmp_path, CONFIG.replace("test: 0.2, validation: 0.2", "test: &share 0.2, validation: *share")))


@pytest.mark.parametrize("name", ["..yaml", "...yaml"])
def test_a_name_that_is_no_folder_of_its_own(tmp_path: Path, name: str) -> None:
    assert "rename the file" in refused(write(tmp_path, name=name))


def test_a_config_of_ones_own_may_be_called_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, name="config.yaml")
    monkeypatch.chdir(tmp_path)
    assert read_config(Path("config.yaml")).name == "config"
    (tmp_path / "shop" / "0").mkdir(parents=True)
    write(tmp_path / "shop" / "0", name="config.yaml")
    monkeypatch.chdir(tmp_path / "shop" / "0")
    assert read_config(Path("config.yaml")).name == "shop"


def test_a_folder_and_text_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert "is a folder, name a config file" in refused(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"seed: \xff\xfe")
    assert "cannot be read" in refused(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    assert read_config(tmp_path / "c.yaml").name == "c"
