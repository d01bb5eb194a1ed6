"""
Your own baseline
=================

A model is any class with ``fit`` and ``score``; there is nothing to inherit and nothing to register.
:class:`gnnrec.recommender.Recommender` is the contract, and :doc:`CONTRIBUTING </CONTRIBUTING>` says what one needs to
enter the package.
"""

# %%
# A model in a file
# -----------------
#
# ``docs/examples/my_baseline.py`` stands outside of the package. What ``fit`` keeps are arrays, so the model can be
# saved.

import inspect
import sys

import pandas as pd

import gnnrec
from gnnrec.data.synthetic import synthetic
from gnnrec.testing import check_recommender

sys.path.insert(0, "../examples")
from my_baseline import AttributeCentroid

print(inspect.getsource(AttributeCentroid))

# %%
# Check it
# --------
#
# The checks fit the model several times on made data. One of them saves it, loads it in another process and compares
# the scores bit for bit. In a test it is one line: ``assert_recommender(AttributeCentroid, seed=3, draws=False)``.

checks = check_recommender(AttributeCentroid, seed=3, draws=False)
for check in checks:
    print(f"{'passed' if check.passed else 'FAILED'}  {check.name}  {check.message}".rstrip())
assert not [check for check in checks if not check.passed]

# %%
# Measure it
# ----------
#
# Under the protocol: test users whom training never sees, all items ranked, ties broken at random. Before each fit the
# audit counts from the raw data that nothing of a held-out user is in what the model sees.

split = gnnrec.make_split(synthetic(5, num_users=160), gnnrec.UnseenUsers(test=0.25, validation=0.25), seed=5)
runs = [
    gnnrec.fit_and_evaluate(split, "Popularity", seed=5),
    gnnrec.fit_and_evaluate(split, "SegmentPopularity", seed=5),
    gnnrec.fit_and_evaluate(split, AttributeCentroid, {"shrinkage": 5.0}, seed=5, name="centroid"),
]
print(gnnrec.metrics_table([run.result for run in runs]).markdown())
assert gnnrec.compare(runs).rows[2]["difference"]["low"] > 0

# %%
# A mistake in an option stops a run before any data is read.

try:
    gnnrec.fit_and_evaluate(split, AttributeCentroid, {"shrinkage": -1.0}, seed=5)
except gnnrec.errors.ConfigError as error:
    print(error)
else:
    raise AssertionError("a shrinkage below 0 was taken")

# %%
# Use it
# ------
#
# On data frames like any other model. A config names it ``model: {class: my_baseline.AttributeCentroid}``; ``gnnrec
# tune`` then searches its ``search_space``, and a ``Blend`` takes it as a component.

users = pd.DataFrame({"user": range(6), "drink": ["tea", "tea", "tea", "wine", "wine", "wine"]})
choices = pd.DataFrame(
    {"user": [0, 1, 2, 3, 4, 5, 5], "item": ["kettle", "kettle", "cup", "glass", "glass", "cup", "glass"]}
)
rec = gnnrec.Recommender(AttributeCentroid, shrinkage=1.0).fit(choices, users=users, user="user", item="item")
lists = rec.recommend({"drink": "wine"}, k=2)
assert lists["item"].tolist() == ["glass", "cup"]  # 3 of glass's 3 users drink wine, and 1 of cup's 2: 3 / 4 and 1 / 3
lists
