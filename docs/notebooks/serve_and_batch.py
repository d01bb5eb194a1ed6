"""
Serve and batch
===============

The command line on one's own files: ``gnnrec run`` fits and measures, ``gnnrec recommend`` answers a file of
newcomers, and ``gnnrec.load`` opens the same model in a program.
"""

# %%
# Files
# -----
#
# What a shop would export: choices, users, items. A user's ``club`` tells which third of the items it likes.

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import gnnrec

random = np.random.default_rng(11)
shop = Path(tempfile.mkdtemp())
USERS, ITEMS, CLUBS = 150, 24, ["chess", "choir", "football"]

club = np.arange(USERS) % 3
user = np.repeat(np.arange(USERS), 6)
item = random.integers(ITEMS // 3, size=len(user)) * 3 + np.where(
    random.random(len(user)) < 0.9, club[user], random.integers(3, size=len(user))
)
pd.DataFrame({"user": user, "item": item}).drop_duplicates().to_csv(shop / "choices.csv", index=False)
pd.DataFrame(
    {"user": np.arange(USERS), "club": [CLUBS[c] for c in club], "age": random.integers(18, 80, USERS)}
).to_csv(shop / "users.csv", index=False)
pd.DataFrame({"item": np.arange(ITEMS), "title": [f"Thing {i}" for i in range(ITEMS)]}).to_csv(
    shop / "items.csv", index=False
)

# %%
# A config
# --------
#
# What is read, who is held out, which model. Paths start from the folder of the config.

CONFIG = """
data:
  source: table
  interactions: {path: choices.csv, user: user, item: item}
  users: {path: users.csv, id: user, attributes: {club: {}, age: {bins: 4}}}
  items: {path: items.csv, id: item, title: title}
split: {kind: unseen_users, test: 0.2, validation: 0.2}
model: {class: SegmentPopularity, shrinkage: 10}
evaluate: {metrics: [ndcg, recall], at: [5]}
"""
(shop / "segments.yaml").write_text(CONFIG)
(shop / "popularity.yaml").write_text("extends: segments.yaml\nmodel: {class: Popularity}\n")


def shell(command: str) -> str:
    """What a command prints that is typed in the shop's folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=shop, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# %%
# Run
# ---
#
# Both configs in one table. Results and the fitted models lie in ``runs/<config>/<seed>``.

print(shell("gnnrec run popularity.yaml segments.yaml --out runs"))

# %%
# A file of users
# ---------------
#
# Users who stand in no file so far: a row for each, with columns named as in training. ``clicks.csv`` holds what they
# are known to have chosen, which stands in no list, and ``--exclude`` names what is sold out.

newcomers = pd.DataFrame({"user": ["ann", "bea", "cid"], "club": CLUBS, "age": [25, 33, None]})
newcomers.to_csv(shop / "new.csv", index=False)
clicks = pd.DataFrame({"user": ["ann", "bea"], "item": [0, 4]})
clicks.to_csv(shop / "clicks.csv", index=False)

to = "--history clicks.csv --exclude 1,2 -k 3 --out lists.csv --json"
print(shell(f"gnnrec recommend runs/segments/0 --users new.csv {to}"))
lists = pd.read_csv(shop / "lists.csv")
lists

# %%
# In a program
# ------------
#
# The same model without a process for each question, and the same lists.

rec = gnnrec.load(shop / "runs" / "segments" / "0")
same = rec.recommend(newcomers, k=3, history=clicks, exclude=[1, 2])
assert same["item"].astype(int).tolist() == lists["item"].tolist()
assert not set(lists["item"]) & {1, 2}
same

# %%
# One user at a time, as a mapping; on the command line ``gnnrec recommend runs/segments/0 --user '{"club": "choir"}'``.

rec.recommend({"club": "choir", "age": 33}, k=3)

# %%
# ``runs/segments/0/model`` is all that serving needs, wherever it is copied. ``artifact.json`` says what it holds of
# training users: nothing here, since this model keeps counts alone.

artifact = json.loads((shop / "runs" / "segments" / "0" / "model" / "artifact.json").read_text())
assert artifact["holds"] == []
{key: artifact[key] for key in ("model_class", "options", "holds")}
