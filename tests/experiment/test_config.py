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
