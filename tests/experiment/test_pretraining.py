"""gnnrec pretrain and gnnrec data match: what they write, go on with, leave out and refuse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import refused

import gnnrec.experiment.pretrain as pretraining
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.matched import matched
from gnnrec.experiment.pretrain import load_encoder, pretrain
from gnnrec.experiment.run import run
from gnnrec.serving.artifact import load

MODEL = """model:
  class: GraphSAGE
  encoder: {channels: 8, layers: 2}
  pretrain: {epochs: 1}
  finetune: {epochs: 2}
"""


def write_shop(folder: Path, seed: int, users: int, items: tuple[str, ...], job: str = "job") -> Path:
    """A shop of a few files and its config: users with a job, items with a title and a kind."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    jobs = ("engineer", "artist", "farmer")
    rows = [f"u{u},i{i}" for u in range(users) for i in random.permutation(len(items))[:6]]
    (folder / "chosen.csv").write_text("user,item\n" + "\n".join(rows) + "\n")
    (folder / "users.csv").write_text(f"user,{job}\n" + "".join(f"u{u},{jobs[u % 3]}\n" for u in range(users)))
    (folder / "items.csv").write_text(
        "item,title,kind\n" + "".join(f"i{i},{title},{'even' if i % 2 else 'odd'}\n" for i, title in enumerate(items))
    )
    path = folder / "shop.yaml"
    path.write_text(
        f"""seed: {seed}
data:
  source: table
  interactions: {{path: chosen.csv, user: user, item: item}}
  users: {{path: users.csv, id: user, attributes: {{{job}: {{}}}}}}
  items: {{path: items.csv, id: item, title: title, attributes: {{kind: {{}}}}}}
split: {{kind: unseen_users, test: 0.2, validation: 0.2}}
evaluate: {{metrics: [ndcg], at: [5]}}
{MODEL}"""
    )
    return path


OLD = tuple(f"The book number {i}" for i in range(16))
NEW = (*(f"the book number {i}" for i in range(8, 16)), *(f"Quite another thing {i}" for i in range(8)))


@pytest.fixture
def shops(tmp_path: Path) -> tuple[NamedConfig, NamedConfig]:
    old = write_shop(tmp_path / "old", 3, 40, OLD)
    new = write_shop(tmp_path / "new", 4, 30, NEW)
    return read_config(old), read_config(new)


def test_an_encoder_is_written_read_and_started_from(shops: tuple[NamedConfig, NamedConfig], tmp_path: Path) -> None:
    old, new = shops
    card = pretrain([old], tmp_path / "encoder")
    assert card["users"] == 40
    assert card["platforms"][0]["interactions"] == card["interactions"] == 240
    assert set(card["chosen"]) == {"pretrain.epochs", "finetune.epochs"}
    text = (tmp_path / "encoder" / "card.md").read_text()
    assert "| table | 40 | 16 | 240 | those of its owner |" in text or "| 40 | 16 | 240 |" in text
    assert not list((tmp_path / "encoder").glob("checkpoint*"))
    before = (tmp_path / "encoder" / "model.json").stat().st_mtime_ns
    assert pretrain([old], tmp_path / "encoder") == card  # finished: read, not made again
    assert (tmp_path / "encoder" / "model.json").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="holds another encoder; choose another --out, or delete the folder"):
        pretrain([old.with_seed(9)], tmp_path / "encoder")
    path = new.folder / "shop.yaml"
    started = read_config(path, ["model.pretrained=../encoder", "model.pretrain=null"])
    first = run(started, tmp_path / "runs" / "shop" / "4")
    assert first.result.checksums["files"]
    assert first.result.audit["pretrained"]["job"] == {"same": 3, "near": 0, "described": 0, "of": 3}
    # The saved model needs no encoder, and scores as the fitted one does.
    artifact = load(tmp_path / "runs" / "shop" / "4")
    again = run(started)
    assert again.result.metrics == first.result.metrics
    memory = artifact.model.state_dict()["tasks"][0]["memory"]
    assert {key[1][1] for key in memory} >= {"interacts"}
    # A changed encoder is another run.
    (tmp_path / "encoder" / "model.json").write_text((tmp_path / "encoder" / "model.json").read_text() + " ")
    with pytest.raises(ConfigError, match="pretrained model, or the code"):
        run(started, tmp_path / "runs" / "shop" / "4")


def test_a_killed_pretraining_goes_on_to_the_same_encoder(
    shops: tuple[NamedConfig, NamedConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = shops
    pretrain([old], tmp_path / "whole")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "save_model", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain([old], tmp_path / "again")
    assert list((tmp_path / "again").glob("checkpoint*"))
    pretrain([old], tmp_path / "again")
    whole, again = (load_encoder(tmp_path / name) for name in ("whole", "again"))
    for name, weight in whole.weights.items():
        assert torch.equal(weight, again.weights[name])
    assert torch.equal(whole.known["item"]["vector"], again.known["item"]["vector"])


def test_items_of_another_platform_are_left_out(shops: tuple[NamedConfig, NamedConfig], tmp_path: Path) -> None:
    old, new = shops
    card = pretrain([old], tmp_path / "encoder", without=new)
    found = load_encoder(tmp_path / "encoder")
    assert set(found.nodes.titles).isdisjoint(OLD[8:])
    assert card["without"] == "table"
    assert len(found.nodes.ids["item"]) == len(found.known["item"]["vector"]) < len(OLD)


def test_two_platforms_make_one_encoder(shops: tuple[NamedConfig, NamedConfig], tmp_path: Path) -> None:
    card = pretrain(list(shops), tmp_path / "encoder")
    assert card["users"] == 70
    assert card["interactions"] == 240 + 180
    assert len(card["platforms"]) == 2
    assert len(load_encoder(tmp_path / "encoder").nodes.ids["item"]) == 16 + 8


def test_what_cannot_be_carried_is_refused(shops: tuple[NamedConfig, NamedConfig], tmp_path: Path) -> None:
    path = shops[0].folder / "shop.yaml"
    with pytest.raises(ConfigError, match="model: must be GraphSAGE with objective ranking"):
        pretrain([read_config(path, ["model={class: Popularity}"])], tmp_path / "encoder")
    words = "data.items.attributes={title: {text: {encoder: tfidf}}}"
    with pytest.raises(ConfigError, match="feature 'title': tfidf is fitted on a platform's own items"):
        pretrain([read_config(path, [words])], tmp_path / "encoder")
    run(shops[0], tmp_path / "runs" / "shop" / "3")
    with pytest.raises(ConfigError, match="holds GraphSAGE; name a folder written by gnnrec pretrain"):
        load_encoder(tmp_path / "runs" / "shop" / "3" / "model")
    saved = read_config(path, [f"model.pretrained={tmp_path / 'runs' / 'shop' / '3'}", "model.keep=[items]"])
    with pytest.raises(ConfigError, match="is a saved model, but keep"):
        run(saved)
    for option in ("keep=[items]", "freeze=[layers]", "match={items: none}"):
        with pytest.raises(ConfigError, match="need a pretrained encoder; name its folder by pretrained"):
            read_config(path, [f"model.{option}"])
    with pytest.raises(ConfigError, match="zero_shot: nothing is trained"):
        read_config(path, ["model.pretrained=encoder", "model.zero_shot=true"])


def test_the_match_is_told_before_anything_is_trained(
    shops: tuple[NamedConfig, NamedConfig], tmp_path: Path, gnnrec: Any
) -> None:
    old, new = shops
    pretrain([old], tmp_path / "encoder")
    paths = [str(config.folder / "shop.yaml") for config in (new, old)]
    facts = matched(*paths)
    assert facts["relations"] == [{"own": "job", "theirs": "job"}, {"own": "kind", "theirs": "kind"}]
    assert facts["nodes"]["item"]["same"] >= 8
    assert facts["nodes"]["job"] == {
        **facts["nodes"]["job"],
        "theirs": "job",
        "same": 3,
        "near": 0,
        "fresh": 0,
    }
    of_encoder = matched(paths[0], str(tmp_path / "encoder"))
    assert of_encoder["nodes"] == facts["nodes"]
    shown = gnnrec("data", "match", *paths)
    assert shown.code == 0
    assert "job = job" in " ".join(shown.out.split())
    said = json.loads(gnnrec("data", "match", *paths, "--json", "--examples", "1").out)
    assert len(said["nodes"]["job"]["examples"]["same"]) == 1
    refused(gnnrec("data", "match", paths[0], "nowhere"), "nowhere")


def test_the_command_says_what_it_made(shops: tuple[NamedConfig, NamedConfig], tmp_path: Path, gnnrec: Any) -> None:
    path = str(shops[0].folder / "shop.yaml")
    made = gnnrec("pretrain", path, "--out", str(tmp_path / "encoder"), "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out)["users"] == 40
    again = gnnrec("pretrain", path, "--out", str(tmp_path / "encoder"))
    assert "40 users, 16 items, 240 interactions" in " ".join(again.err.split())
    refused(gnnrec("pretrain", path, "seed=5", "--out", str(tmp_path / "encoder")), "holds another encoder")


def test_the_folder_of_an_encoder_is_nothing_that_a_blend_chose(
    shops: tuple[NamedConfig, NamedConfig], tmp_path: Path
) -> None:
    """A result holds no path of the machine: a blend hands back its components with absolute ones."""
    old, new = shops
    pretrain([old], tmp_path / "encoder")
    graph = "{class: GraphSAGE, encoder: {channels: 8, layers: 2}, pretrain: null, pretrained: ../encoder}"
    blend = f"model={{class: Blend, components: {{graph: {graph}, popularity: {{class: Popularity}}}}}}"
    config = read_config(new.folder / "shop.yaml", [blend])
    result = run(config, tmp_path / "runs" / "shop" / "4").result
    assert "components.graph.finetune.epochs" in result.chosen
    assert not any("pretrained" in key for key in result.chosen)
    assert str(tmp_path) not in json.dumps(result.model_dump(mode="json"))
