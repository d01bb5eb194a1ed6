"""
Your own layer
==============

A graph layer is a class with PyTorch Geometric's bipartite call. :doc:`Add a layer </docs/add_a_layer>` has the
contract; here one is checked, broken, and compared with another.
"""

# %%
# A layer in a file
# -----------------
#
# ``docs/examples/my_layer.py`` stands outside of the package. Its folder has to be on the path of modules.

import inspect
import sys

from torch import Tensor, nn

import gnnrec
from gnnrec.data.synthetic import synthetic
from gnnrec.testing import check_layer

sys.path.insert(0, "../examples")
from my_layer import DegreePowerConv

print(inspect.getsource(DegreePowerConv))

# %%
# Check it
# --------
#
# One named check for each clause of the contract. ``gnnrec check-layer my_layer.DegreePowerConv`` prints the same.

checks = check_layer(DegreePowerConv, {"power": 1.0})
for check in checks:
    print(f"{'passed' if check.passed else 'FAILED'}  {check.name}  {check.message}".rstrip())
assert not [check for check in checks if not check.passed]

# %%
# A layer that is wrong
# ---------------------
#
# This one writes messages over each other instead of adding them up. It runs, trains, and looks fine.


class LastEdgeConv(nn.Module):
    """Keeps the last edge of each target only."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.own = nn.Linear(in_channels, out_channels)
        self.neighbours = nn.Linear(in_channels, out_channels)

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        x_source, x_target = x
        out = self.own(x_target)
        out[edge_index[1]] = self.neighbours(x_source)[edge_index[0]]
        return out


failed = [check for check in check_layer(LastEdgeConv) if not check.passed]
for check in failed:
    print(f"{check.name}: {check.message}")
assert "every edge counts" in {check.name for check in failed}

# %%
# Compare it
# ----------
#
# Made data with a known answer: users belong to one of four groups, and the attribute ``club`` reveals which. Test
# users have no interaction in training. A config names the layer in the same way: ``encoder: {layer:
# my_layer.DegreePowerConv}``.

split = gnnrec.make_split(synthetic(5, num_users=160), gnnrec.UnseenUsers(test=0.25, validation=0.25), seed=5)
training = {"pretrain": None, "finetune": {"epochs": 30, "learning_rate": 0.05}, "choose_on": 0}
runs = [gnnrec.fit_and_evaluate(split, "Popularity", seed=5)]
for layer, options in (("torch_geometric.nn.SAGEConv", {}), ("my_layer.DegreePowerConv", {"power": 0.5})):
    encoder = {"channels": 16, "layer": layer, "layer_options": options}
    runs.append(gnnrec.fit_and_evaluate(split, "GraphSAGE", {"encoder": encoder, **training}, seed=5, name=layer))
print(gnnrec.metrics_table([run.result for run in runs]).markdown())

# %%
# Differences are paired by user, with an interval.

rows = gnnrec.compare(runs).rows
for row in rows[1:]:
    print(row["name"], {key: round(row["difference"][key], 3) for key in ("mean", "low", "high")})
    assert row["difference"]["low"] > 0
