"""`gnnrec update --steps`: what was recorded is learned from, with new users, items and values of attributes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gnnrec
from gnnrec.data import load as load_data
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.learn import learn
from gnnrec.experiment.run import load_split, run
from gnnrec.serving.artifact import load
from gnnrec.serving.record import record_file
from gnnrec.splits.split import training_data
from gnnrec.splits.temporal import in_time_order

CONFIG = """
data:
  source: table
  interactions: {path: log.csv, user: user_id, item: item_id, time: at, event: what, events: {view: 1, buy: 5}}
  users: {path: users.csv, id: user_id, attributes: {plan: {}, age: {bins: 3}}}
  items: {path: items.csv, id: item_id, title: name, attributes: {shelf: {}}}
split: {kind: unseen_users, test: 0.2, validation: 0.1, support: 2, reveal: time}
model:
  class: GraphSAGE
  pretrain: null
  encoder: {channels: 8, layers: 2}
  finetune: {epochs: 4, learning_rate: 0.02}
  choose_on: 10
evaluate: {metrics: [ndcg], at: [5], shots: [2]}
seed: 3
"""


def rows() -> pd.DataFrame:
    """60 users in three groups, who look at and buy the six items of their group, four within a second."""
    user, step = np.divmod(np.arange(480), 8)
    item = (user % 3) * 6 + (step * 5 + user) % 6
    at = pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(np.arange(480) * 0.25, unit="s")
    return pd.DataFrame(
        {"user_id": [f"u{u}" for u in user], "item_id": item, "what": np.where(step % 2, "buy", "view"), "at": at}
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of a run, beside its files."""
    log = rows()
    log.assign(at=log["at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")).to_csv(tmp_path / "log.csv", index=False)
    people = pd.DataFrame({"user_id": [f"u{u}" for u in range(60)]})
    people["plan"], people["age"] = [f"p{u % 3}" for u in range(60)], np.arange(60) + 20
    people.to_csv(tmp_path / "users.csv", index=False)
    things = pd.DataFrame({"item_id": range(18), "shelf": [f"s{i // 6}" for i in range(18)]})
    things.assign(name=[f"Thing {i}" for i in range(18)]).to_csv(tmp_path / "items.csv", index=False)
    (tmp_path / "shop.yaml").write_text(CONFIG)
    run(read_config(tmp_path / "shop.yaml"), tmp_path / "run")
    return tmp_path


def file(folder: Path, name: str, header: str, *lines: str) -> Path:
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return folder / name


def clicks(folder: Path, *events: tuple[str, str, str], name: str = "new.csv", day: int = 2) -> Path:
    lines = [f"{u},{i},{what},2024-03-{day:02}T10:00:{n:02}.5Z" for n, (u, i, what) in enumerate(events)]
    return file(folder, name, "user_id,item_id,what,at", *lines)


NEWS = [("n1", "x", "view"), ("n1", "x", "buy"), ("n1", "3", "buy"), ("u7", "x", "buy"), ("n2", "4", "buy")]


def taught(shop: Path, to: str = "later", steps: int = 5) -> Path:
    record_file(shop / "run", clicks(shop, *NEWS))
    people = file(shop, "people.csv", "user_id,plan,age,else", "n1,p9,33,1", "n2,p0,,2")
    things = file(shop, "things.csv", "item_id,shelf,name", "x,s0,Thing X")
    found = learn(shop / "run", shop / to, steps, people, things)
    assert (found.interactions, found.users, found.new_users, found.new_items) == (5, 3, 2, 1)
    return shop / to


def test_new_users_items_and_values_are_part_of_the_new_model(shop: Path) -> None:
    later = gnnrec.load(taught(shop))
    assert later.artifact is not None
    words = later.artifact.vocabulary
    assert "x" in list(words.texts["item"])
    assert "p9" in list(words.ids["plan"])
    assert words.titles[list(words.texts["item"]).index("x")] == "Thing X"
    lists = later.recommend(pd.DataFrame({"user_id": ["n1", "z"], "plan": ["p9", "p0"]}), k=19)
    assert set(lists.loc[lists["user_id"] == "z", "item_id"].astype(str)) == {*map(str, range(18)), "x"}
    assert not {"x", "3"} & set(lists.loc[lists["user_id"] == "n1", "item_id"].astype(str))  # bought
    before = gnnrec.load(shop / "run")
    assert before.artifact is not None
    assert "x" not in list(before.artifact.vocabulary.texts["item"])


def test_it_is_what_update_gives_on_the_files_written_together(shop: Path) -> None:
    """The slow way: files with the new rows in them, the data set read anew, and the model in memory updated."""
    later = load(taught(shop))
    both = shop / "both"
    both.mkdir()
    for name, new in (("log.csv", "new.csv"), ("users.csv", "people.csv"), ("items.csv", "things.csv")):
        frames = [pd.read_csv(shop / one, dtype=str) for one in (name, new)]
        whole = pd.concat(frames, ignore_index=True)[frames[0].columns]
        if name == "log.csv":
            whole["at"] = whole["at"].str.removesuffix("Z")
        whole.to_csv(both / name, index=False)
    shutil.copy(shop / "shop.yaml", both)
    config = read_config(shop / "shop.yaml")
    split, data = load_split(config), load_data(config.config.data, both)
    ids, old = data.ids["user"], split.dataset.ids["user"][split.full.users.index.numpy()]
    users = torch.tensor([place for place, one in enumerate(ids) if one in {*old, "n1", "n2", "u7"}])
    own = data.interactions
    assert "u7" in set(old)
    new = {("n1", "x"), ("n1", "3"), ("u7", "x"), ("n2", "4")}
    pairs = list(zip(ids[own.user.numpy()], data.ids["item"][own.item.numpy()], strict=True))
    chosen = torch.tensor([pair in new or pair[0] in old for pair in pairs])
    train = training_data(data, users, chosen, None, in_time_order(data), split.full.bounds)
    model: Any = load(shop / "run").model
    fresh = torch.tensor([ids[one] in ("n1", "n2", "u7") for one in train.users.index.tolist()])
    model.update(train, fresh=fresh, steps=5, seed=3 + 5)
    assert torch.equal(later.model.score(train.users), model.score(train.users))
    assert [*later.vocabulary.texts["item"]] == [*train.ids["item"]]


def test_steps_change_the_weights_and_the_run_stays_as_it_is(shop: Path) -> None:
    checksum = json.loads((shop / "run" / "result.json").read_text())["checksums"]["model"]
    one, other = (load(taught(shop, f"later-{steps}", steps)).model for steps in (1, 6))
    weights = [model.state_dict()["tasks"][0]["head"]["logit_scale"] for model in (one, other)]  # type: ignore[attr-defined]
    assert not torch.equal(*weights)
    assert load(shop / "run")
    assert json.loads((shop / "run" / "result.json").read_text())["checksums"]["model"] == checksum


def test_the_same_call_again_changes_nothing_and_another_is_refused(shop: Path) -> None:
    later = taught(shop)
    stamps = {path: path.stat().st_mtime_ns for path in later.rglob("*")}
    taught(shop)
    assert {path: path.stat().st_mtime_ns for path in later.rglob("*")} == stamps
    other = "later: is there already, and is no model of these interactions, users, items and steps"
    with pytest.raises(InputError, match=other):
        learn(shop / "run", later, 6, shop / "people.csv", shop / "things.csv")
    with pytest.raises(InputError, match=other):
        learn(shop / "run", later, 5, shop / "people.csv")


def test_changed_files_of_the_run_are_warned_of_and_nothing_is_recorded_where_it_cannot_learn(
    gnnrec: Any, shop: Path
) -> None:
    new = clicks(shop, *NEWS)
    (shop / "taken").mkdir()
    answer = gnnrec("update", shop / "run", "--interactions", new, "--steps", 2, "--out", shop / "taken")
    assert answer.code == 2
    assert "taken: is there already, and is no model that has learned" in answer.err
    assert len(load(shop / "run").feedback) == 0
    with (shop / "log.csv").open("a") as log:
        log.write("u1,2,buy,2024-03-01T12:00:00\n")
    record_file(shop / "run", new)
    with pytest.warns(UserWarning, match="run: its files have changed since it was trained"):
        learn(shop / "run", shop / "later", 1)


def test_what_has_learned_learns_again(shop: Path) -> None:
    later = taught(shop)
    with pytest.raises(InputError, match="nothing was recorded since the model was trained; give new interactions"):
        learn(later, shop / "third", 2)
    record_file(later, clicks(shop, ("n1", "4", "buy"), ("n3", "x", "buy"), name="more.csv", day=3))
    found = learn(later, shop / "third", 2)
    assert (found.interactions, found.users, found.new_users, found.new_items) == (2, 2, 1, 0)
    words = load(shop / "third").vocabulary
    assert "p9" in list(words.ids["plan"])  # of the users who were added before


def test_a_run_by_time_learns_from_what_came_after_its_moment(shop: Path) -> None:
    text = CONFIG.replace(
        "{kind: unseen_users, test: 0.2, validation: 0.1, support: 2, reveal: time}", "{kind: temporal}"
    )
    (shop / "time.yaml").write_text(text.replace("evaluate: {metrics: [ndcg], at: [5], shots: [2]}", ""))
    run(read_config(shop / "time.yaml"), shop / "by-time")
    record_file(shop / "by-time", clicks(shop, ("u59", "2", "buy"), ("u0", "17", "view")))
    found = learn(shop / "by-time", shop / "later", 2)
    assert (found.interactions, found.users, found.new_users) == (2, 2, 1)  # u59 came after the moment
    assert load(shop / "later")


def test_numbers_as_times_and_values_stay_what_they_are(tmp_path: Path) -> None:
    log = rows().drop(columns="what").assign(at=np.arange(480) * 10, stars=np.arange(480) % 3 + 3.0)
    log.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "shop.yaml").write_text(
        "data:\n  source: table\n"
        "  interactions: {path: log.csv, user: user_id, item: item_id, time: at, value: stars}\n"
        "  positive: {min_value: 4}\n"
        "split: {kind: unseen_users, test: 0.2, support: 2, reveal: time}\n"
        "model: {class: GraphSAGE, pretrain: null, encoder: {channels: 8}, finetune: {epochs: 2}, choose_on: 10}\n"
    )
    run(read_config(tmp_path / "shop.yaml"), tmp_path / "run")
    new = file(tmp_path, "new.csv", "user_id,item_id,at,stars", "n1,3,5000,5", "n1,4,5001.5,2", "n2,3,5002,4")
    record_file(tmp_path / "run", new)
    found = learn(tmp_path / "run", tmp_path / "later", 2)
    assert (found.users, found.new_users) == (2, 2)
    assert load(tmp_path / "later").vocabulary.last_time == 5002


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{class: ItemKNN}", "ItemKNN does not learn in steps; GraphSAGE does"),
        ("{class: Popularity}", "Popularity does not learn in steps"),
    ],
)
def test_models_without_steps_are_refused(shop: Path, model: str, message: str) -> None:
    config = read_config(shop / "shop.yaml", [f"model={model}"])
    run(config, shop / "other")
    record_file(shop / "other", clicks(shop, ("u1", "3", "buy")))
    with pytest.raises(ConfigError, match=message):
        learn(shop / "other", shop / "later", 1)


def test_what_cannot_be_learned_is_one_line(shop: Path) -> None:
    record_file(shop / "run", clicks(shop, ("u1", "3", "buy")))
    with pytest.raises(ConfigError, match=r"model: has no config.yaml, which says where its training data are"):
        learn(shop / "run" / "model", shop / "later", 1)
    wrong = file(shop, "wrong.csv", "who,plan", "n1,p1")
    with pytest.raises(InputError, match=r"wrong.csv: no column 'user_id'; there are who, plan"):
        learn(shop / "run", shop / "later", 1, wrong)
    twice = file(shop, "twice.csv", "user_id,plan,age", "n1,p1,many")
    with pytest.raises(DataError, match=r"twice.csv: line 2, column 'age': 'many' is not a number"):
        learn(shop / "run", shop / "later", 1, twice)
    (shop / "log.csv").unlink()
    with pytest.raises(ConfigError, match=r"log.csv, which it was trained on, is not there"):
        learn(shop / "run", shop / "later", 1)
    assert not (shop / "later").exists()
    assert not list(shop.glob(".later*"))


def test_the_command(gnnrec: Any, shop: Path) -> None:
    new = clicks(shop, *NEWS)
    answer = gnnrec("update", shop / "run", "--interactions", new, "--steps", 2, "--out", shop / "later", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["learned"] == {
        "interactions": 5,
        "users": 3,
        "new_users": 2,
        "new_items": 1,
        "steps": 2,
    }
    for wrong, message in (
        (["--steps", 2], "--steps and --out go together"),
        (["--out", "x"], "--steps and --out go together|give --interactions"),
        ([], "give --interactions FILE, or --steps N"),
        (["--interactions", new, "--users", new], "--users and --items are for training: they need --steps"),
    ):
        answer = gnnrec("update", shop / "run", *wrong)
        assert answer.code == 2
        assert any(part in answer.err for part in message.split("|")), answer.err
