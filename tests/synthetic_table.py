"""A synthetic shop as files: string ids, a multi-valued attribute, a numeric one, weighted skills, missing values."""

from pathlib import Path

import numpy as np
import pandas as pd

GROUPS = 3

CONFIG = """
seed: 0
data:
  source: table
  interactions: {path: ratings.csv, user: user_id, item: item_id, value: rating, time: timestamp}
  users: {path: users.csv, id: user_id, attributes: {gender: {}, age: {bins: 4}, interests: {split: "|"}}}
  items: {path: items.csv, id: item_id, title: title, attributes: {category: {}, price: {bins: 3}}}
  relations:
    - {path: friends.csv, source: {type: user, column: a}, target: {type: user, column: b}, name: friend}
    - {path: skills.parquet, source: {type: user, column: user_id}, target: {type: skill, column: skill}, name: has,
       weight: count}
  positive: {min_value: 4}
split: {kind: unseen_users, test: 0.2, validation: 0.2}
model:
  class: GraphSAGE
  encoder: {channels: 16}
  pretrain: {epochs: 3}
  finetune: {epochs: 40, learning_rate: 0.02, batch_users: 64}
evaluate: {metrics: [ndcg, recall, precision, hit], at: [5, 10]}
"""


def write_shop(folder: Path, users: int = 150, items: int = 30) -> Path:
    """Writes the shop and a config; returns the config's path. Interests, skills and friends reveal a user's group."""
    random = np.random.default_rng(0)
    user_ids = np.array([f"u-{i:03d}" for i in range(users)])
    item_ids = np.array([f"sku/{i}" for i in range(items)])
    group = np.arange(users) % GROUPS
    user = np.repeat(np.arange(users), 8)
    wanted = np.where(random.random(len(user)) < 0.9, group[user], random.integers(GROUPS, size=len(user)))
    item = random.integers(items // GROUPS, size=len(user)) * GROUPS + wanted
    rating = np.where(random.random(len(user)) < 0.9, random.integers(4, 6, len(user)), 2)
    ratings = pd.DataFrame(
        {"user_id": user_ids[user], "item_id": item_ids[item], "rating": rating, "timestamp": np.arange(len(user))}
    ).drop_duplicates(["user_id", "item_id"])
    ratings.to_csv(folder / "ratings.csv", index=False)
    interests = [["tea", "hiking"], ["chess", "wine"], ["football", "beer"]]
    pd.DataFrame(
        {
            "user_id": user_ids,
            "gender": np.where(random.random(users) < 0.2, None, random.choice(["F", "M", "X"], users)),
            "age": [None if i % 6 == 0 else int(random.integers(18, 80)) for i in range(users)],
            "interests": [None if i % 11 == 0 else "|".join([*interests[group[i]], "music"]) for i in range(users)],
        }
    ).to_csv(folder / "users.csv", index=False)
    pd.DataFrame(
        {
            "item_id": item_ids,
            "title": [f"Thing {i}" for i in range(items)],
            "category": [f"c{i % GROUPS}" if i % 7 else None for i in range(items)],
            "price": random.random(items).round(2) * 100,
        }
    ).to_csv(folder / "items.csv", index=False)
    first = random.integers(users, size=3 * users)
    second = random.integers(users // GROUPS, size=3 * users) * GROUPS + group[first]
    kept = first != second
    friends = pd.DataFrame({"a": user_ids[first[kept]], "b": user_ids[second[kept]]}).drop_duplicates()
    friends.to_csv(folder / "friends.csv", index=False)
    skill = np.array(["python", "cooking", "carpentry", "welding"])
    pd.DataFrame({"user_id": user_ids, "skill": skill[group], "count": random.integers(1, 9, users)}).to_parquet(
        folder / "skills.parquet"
    )
    path = folder / "shop.yaml"
    path.write_text(CONFIG)
    return path
