"""
Your own data
=============

Data frames in, lists for users out whom the model has never seen: ``fit``, ``recommend``, ``embed``, ``save``,
``load``.
"""

# %%
# A small shop
# ------------
#
# Three frames: who bought what, what is known of users, what is known of items. Users have one of three tastes. Nobody
# writes that down, but a user's interests reveal it, and nine out of ten purchases follow it.

import tempfile

import numpy as np
import pandas as pd

import gnnrec

random = np.random.default_rng(7)
INTERESTS = np.array(["tea|music", "chess|music", "football|music"])
USERS, ITEMS, TASTES = 240, 30, 3

taste = np.arange(USERS) % TASTES
buyer = np.repeat(np.arange(USERS), 8)
follows = random.random(len(buyer)) < 0.9
bought_taste = np.where(follows, taste[buyer], random.integers(TASTES, size=len(buyer)))
bought = random.integers(ITEMS // TASTES, size=len(buyer)) * TASTES + bought_taste

purchases = pd.DataFrame({"user_id": buyer, "item_id": bought}).drop_duplicates()
users = pd.DataFrame(
    {"user_id": np.arange(USERS), "age": random.integers(18, 80, USERS), "interests": INTERESTS[taste]}
)
items = pd.DataFrame(
    {"item_id": np.arange(ITEMS), "title": [f"Thing {i}" for i in range(ITEMS)], "price": random.random(ITEMS) * 100}
)
users.head(3)

# %%
# Fit
# ---
#
# Users, items and attribute values become one graph. ``age`` has many numbers and is cut into bins; ``interests``
# holds several values in a cell. Options are those of the model; ``epochs`` is an option of several parts, and goes
# behind the part's name.

rec = gnnrec.Recommender(
    "GraphSAGE", seed=3, channels=16, pretrain=None, finetune__epochs=40, finetune__learning_rate=0.02, choose_on=0
)
rec.fit(
    purchases,
    users=users,
    items=items,
    title="title",
    user_attributes={"age": {"bins": 4}, "interests": {"split": "|"}},
)

# %%
# Recommend
# ---------
#
# Users who stand in no frame above. The second has no attributes, the third an interest that nobody had in
# training: it is ignored with a warning. A column of ids is optional.

newcomers = pd.DataFrame(
    {"user_id": ["ann", "bea", "cid"], "age": [25, None, 61], "interests": ["chess", None, "football|sailing"]}
)
lists = rec.recommend(newcomers, k=3)
lists

# %%
# Items that a user is known to have are left out of its list, and tell more of the user: bea bought two things that
# chess players buy.

clicks = pd.DataFrame({"user_id": ["bea", "bea"], "item_id": [1, 4]})
rec.recommend(newcomers, k=3, history=clicks)

# %%
# Item ``i`` is of taste ``i % 3``. By chance one in three of ann's items would be of hers.

more = rec.recommend(newcomers, k=8)
share = (more[more["user_id"] == "ann"]["item_id"] % TASTES == 1).mean()
print(f"{share:.2f} of ann's list is of her taste")
assert share > 0.7

# %%
# Embed
# -----
#
# A user's vector comes from its edges alone, so a newcomer has one, too.

vectors = rec.embed(newcomers)
vectors.iloc[:, :5]

# %%
# Save and load
# -------------
#
# The folder holds arrays and JSON. It needs no training data, and ``gnnrec recommend FOLDER`` reads it as well.

with tempfile.TemporaryDirectory() as folder:
    rec.save(f"{folder}/shop")
    loaded = gnnrec.load(f"{folder}/shop")

pd.testing.assert_frame_equal(loaded.recommend(newcomers, k=3), lists)
loaded
