import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch_geometric.nn import GATv2Conv, GCNConv, GraphConv, SAGEConv

import gnnrec.nn.conv
from gnnrec.errors import ConfigError
from gnnrec.models.baselines import SASRec
from gnnrec.options.resolve import (
    available_layers,
    build,
    check_layer_options,
    complete_options,
    layer_options,
    option_names,
    options_model,
    resolve,
)
from gnnrec.training.ranking import RankingConfig


def test_bare_names_are_looked_up_in_the_package():
    assert resolve("AttributeAttention", gnnrec.nn.conv) is gnnrec.nn.conv.AttributeAttention
    assert resolve("AttributeAttention", "gnnrec.nn.conv") is gnnrec.nn.conv.AttributeAttention


def test_dotted_names_are_imported():
    assert resolve("torch_geometric.nn.SAGEConv", "gnnrec.nn.conv") is SAGEConv


def test_a_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "folder_of_mine"
    folder.mkdir()
    (folder / "my_file.py").write_text("class MyConv:\n    pass\n")
    (folder / "broken.py").write_text("class MyConv\n")
    (folder / "raises.py").write_text("raise RuntimeError('no\\nluck')\n")
    (folder / "needs.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("folder_of_mine.my_file.MyConv", "gnnrec.nn.conv").__name__ == "MyConv"
    for name, line in [
        ("broken", "folder_of_mine.broken.MyConv: cannot import folder_of_mine.broken: SyntaxError: expected ':'"),
        ("raises", "folder_of_mine.raises.MyConv: cannot import folder_of_mine.raises: RuntimeError: no luck"),
        (
            "needs",
            "cannot import folder_of_mine.needs: ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
        ),
    ]:
        with pytest.raises(ConfigError) as caught:
            resolve(f"folder_of_mine.{name}.MyConv", "gnnrec.nn.conv")
        assert line in str(caught.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "AtributeAttention",
            "'AtributeAttention' is not in gnnrec.nn.conv. Did you mean 'AttributeAttention'? There are: ",
        ),
        ("attributeattention", "Did you mean 'AttributeAttention'?"),
        ("attribute_attention", "Did you mean 'AttributeAttention'?"),  # a module, but not in __all__
        ("SAGEConv", "a class from elsewhere is named with its module, e.g. my_package.my_file.MyClass"),
        ("", "'' is not in gnnrec.nn.conv."),
        ("torch_geometric.nn.SageConv", "torch_geometric.nn has no 'SageConv'. Did you mean 'SAGEConv'?"),
        (
            "not_there.MyConv",
            "not_there.MyConv: cannot import not_there: ModuleNotFoundError: No module named 'not_there'",
        ),
        ("torch_geometric.nn.conv", "torch_geometric.nn.conv: must name a class, but it is a module"),
        ("math.pi", "math.pi: must name a class, but it is a float"),
        ("json.decoder.scanstring", "must name a class, but it is a"),
        (".MyConv", "is not in gnnrec.nn.conv"),
        ("..a.MyConv", "cannot import ..a"),
    ],
)
def test_a_name_that_leads_nowhere(name: str, line: str):
    with pytest.raises(ConfigError) as caught:
        resolve(name, "gnnrec.nn.conv")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


class Pretrain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = 50


class Model:
    """A recommender as far as its options go."""

    def __init__(
        self,
        *,
        factors: Annotated[int, Field(ge=1)] = 64,
        policy: Literal["mean", "attribute_map"] = "mean",
        pretrain: Pretrain | None = Pretrain(),  # noqa: B008
        path: Path | None = None,
    ) -> None:
        if factors == 13:
            raise ValueError("factors must not be\n13")
        if factors == 14:
            raise ConfigError("fourteen")
        self.options = (factors, policy, pretrain, path)


@dataclass
class AsDataclass:
    width: int
    names: list[str] = field(default_factory=list)
    fitted: bool = field(init=False, default=False)


def test_complete_options_fill_in_every_default_and_are_ready_for_json():
    complete = complete_options(Model, {"policy": "attribute_map", "path": Path("a/b")})
    assert complete == {"factors": 64, "policy": "attribute_map", "pretrain": {"epochs": 50}, "path": "a/b"}
    assert list(complete) == ["factors", "policy", "pretrain", "path"]
    assert json.loads(json.dumps(complete)) == complete
    assert complete_options(Model, complete) == complete


def test_who_gives_one_option_of_a_part_keeps_what_the_class_has_for_the_others():
    complete = complete_options(SASRec, {"finetune": {"half_life": 0.5, "epochs": 3}})
    own = SASRec().options["finetune"]
    assert (own["target"], own["batch_users"]) == ("next", 64)  # not those of RankingConfig
    assert complete["finetune"] == {**own, "half_life": 0.5, "epochs": 3}
    assert build(SASRec, {"finetune": {"half_life": 0.5, "epochs": 3}}).options == complete
    assert build(SASRec, {"finetune": RankingConfig(target="next")}).finetune.batch_users == 256  # whole, as it is


def test_options_arrive_as_the_types_that_the_constructor_names():
    model = build(Model, {"pretrain": {"epochs": 3}, "path": "a"})
    assert model.options == (64, "mean", Pretrain(epochs=3), Path("a"))
    assert build(Model, {"pretrain": None}).options[2] is None


def test_dataclasses_and_their_fresh_defaults():
    first, second = build(AsDataclass, {"width": 1}), build(AsDataclass, {"width": 1})
    first.names.append("a")
    assert second.names == []
    assert complete_options(AsDataclass, {"width": 2}) == {"width": 2, "names": []}


@pytest.mark.parametrize(
    ("cls", "options", "line"),
    [
        (
            Model,
            {"factor": 3},
            "a.yaml: model: unknown key 'factor'. Did you mean 'factors'? Allowed: factors, policy, pre",
        ),
        (Model, {"factors": 0}, "a.yaml: model.factors: 0 is not allowed; it should be greater than or equal to 1"),
        (Model, {"policy": "zero"}, "a.yaml: model.policy: unknown value 'zero'. Allowed: mean, attribute_map"),
        (Model, {"pretrain": {"epoch": 1}}, "a.yaml: model.pretrain: unknown key 'epoch'. Did you mean 'epochs'?"),
        (Model, {"factors": 13}, "a.yaml: model: factors must not be 13"),
        (Model, {"factors": 14}, "a.yaml: model: fourteen"),
        (AsDataclass, {}, "a.yaml: model: missing key 'width'. Allowed: width, names"),
        (AsDataclass, {"width": 1, "fitted": True}, "a.yaml: model: unknown key 'fitted'."),
    ],
)
def test_options_that_do_not_fit(cls: type, options: dict[str, Any], line: str):
    with pytest.raises(ConfigError) as caught:
        build(cls, options, "a.yaml", "model")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_constructor_that_cannot_be_checked():
    class Anything:
        def __init__(self, **options: int) -> None: ...

    class Untyped:
        def __init__(self, *, width=3) -> None: ...

    with pytest.raises(ConfigError, match="Anything: its constructor takes"):
        options_model(Anything)
    with pytest.raises(ConfigError, match="Untyped: option 'width' of its constructor has no type"):
        options_model(Untyped)


def test_option_names_follow_kwargs_upwards_and_stop_where_there_are_none():
    class Top(nn.Module):
        def __init__(self, top: int = 0) -> None:
            super().__init__()

    class Middle(Top):
        def __init__(self, in_channels: int, out_channels: int, middle: int = 0) -> None:
            super().__init__()

    class Bottom(Middle):
        def __init__(self, in_channels: int, out_channels: int, *, bottom: int = 0, **kwargs: Any) -> None:
            super().__init__(in_channels, out_channels, **kwargs)

    class Silent(Bottom):
        pass

    assert option_names(Bottom) == option_names(Silent) == ["bottom", "middle"]
    assert {"aggr", "root_weight", "flow", "node_dim"} <= set(option_names(SAGEConv))
    assert not {"self", "in_channels", "out_channels", "kwargs"} & set(option_names(SAGEConv))


def test_self_loops_are_off_where_a_layer_has_them():
    assert layer_options(GATv2Conv, {"heads": 1}) == {"add_self_loops": False, "heads": 1}
    assert layer_options(SAGEConv, {"aggr": "max"}) == {"aggr": "max"}
    with pytest.raises(ConfigError, match="add_self_loops would join source i to target i"):
        layer_options(GATv2Conv, {"add_self_loops": True})


@pytest.mark.parametrize("layer", [SAGEConv, GATv2Conv, GraphConv, gnnrec.nn.conv.AttributeAttention])
def test_layers_that_fit(layer: type):
    assert set(check_layer_options(layer, {})) <= {"add_self_loops"}


class OneRowPerSource(nn.Linear):
    def forward(self, x, edge_index):
        return super().forward(x[0])


class BreaksWithoutEdges(nn.Linear):
    def forward(self, x, edge_index):
        return super().forward(x[1]) + x[0][edge_index[0]].max()


@pytest.mark.parametrize(
    ("layer", "options", "line"),
    [
        (
            SAGEConv,
            {"agr": "max"},
            "c.yaml: options: SAGEConv has no option 'agr'. Did you mean 'aggr'? It has: aggr, ",
        ),
        (
            SAGEConv,
            {"aggr": "middle"},
            "c.yaml: options: SAGEConv does not work as Layer(in_channels, out_channels, **opt",
        ),
        (SAGEConv, {"aggr": "middle"}, "ValueError: Could not resolve 'middle'"),
        (
            GATv2Conv,
            {"heads": 2},
            "GATv2Conv gives [2, 8] for two targets and out_channels 4; it must give [2, 4]; set con",
        ),
        (GATv2Conv, {"dropout": 2}, "ValueError: dropout probability has to be between 0 and 1, but got 2"),
        (GCNConv, {}, "does not support bipartite message passing"),
        (nn.ReLU, {}, "TypeError"),
        (BreaksWithoutEdges, {}, "BreaksWithoutEdges does not work"),
    ],
)
def test_layers_that_do_not_fit(layer: type, options: dict[str, Any], line: str):
    with pytest.raises(ConfigError) as caught:
        check_layer_options(layer, options, "c.yaml", "options")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_right_shape_with_joined_heads_has_no_hint_and_averaged_heads_fit():
    assert check_layer_options(GATv2Conv, {"heads": 2, "concat": False})["heads"] == 2
    with pytest.raises(ConfigError, match=r"gives \[3, 4\] for two targets.*it must give \[2, 4\]$"):
        check_layer_options(OneRowPerSource, {})


def test_trying_a_layer_draws_no_random_number():
    before = torch.random.get_rng_state()
    check_layer_options(GATv2Conv, {"dropout": 0.5})
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_layers_there_are(capfd: pytest.CaptureFixture[str]):
    rows = dict(available_layers())
    names = list(rows)
    assert names[: len(gnnrec.nn.conv.__all__)] == gnnrec.nn.conv.__all__
    assert {f"torch_geometric.nn.{name}" for name in ("SAGEConv", "GATv2Conv", "GraphConv")} <= set(names)
    assert "torch_geometric.nn.GCNConv" not in names  # takes no pair of vectors
    assert all(resolve(name, "gnnrec.nn.conv") for name in names)
    assert rows["torch_geometric.nn.SAGEConv"] == (
        'The GraphSAGE operator from the "Inductive Representation Learning on Large Graphs" paper.'
    )
    assert capfd.readouterr() == ("", "")
