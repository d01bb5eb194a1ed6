"""What users' nodes begin with."""

import torch

from gnnrec.nn.features import UserInputs
from gnnrec.views import USER, Features


def feature(name: str, rows: list[list[float]], known: list[bool]) -> Features:
    return Features(USER, name, torch.tensor(rows), torch.tensor(known), (), ("vector", {}))


def test_two_features_by_hand() -> None:
    inputs = UserInputs({"a": 2, "b": 1}, 2)
    with torch.no_grad():
        inputs.maps["feature a"].weight.copy_(torch.tensor([[1.0, 0], [2, 1]]))
        inputs.maps["feature a"].unit.fill_(2.0)
        inputs.maps["feature b"].weight.copy_(torch.tensor([[10.0], [20]]))
    a = feature("a", [[2, 4], [0, 0]], [True, False])
    b = feature("b", [[0.5], [1]], [True, True])
    other = feature("c", [[9.0], [9]], [True, True])
    assert inputs([b, other, a], 2).tolist() == [[1 + 5, 4 + 10], [10, 20]]
    assert inputs([b], 2).tolist() == [[5, 10], [10, 20]]
    assert inputs([other], 2).tolist() == [[0, 0], [0, 0]]


def test_the_start_is_a_ridge_regression_from_known_users() -> None:
    """Of vectors that are linear in the features, nearly all is found; users without a feature are left out of it."""
    generator = torch.Generator().manual_seed(4)
    a, b = torch.randn(80, 3, generator=generator), 50 * torch.randn(80, 2, generator=generator)
    known = torch.arange(80) % 5 > 0
    a, b = a * known[:, None], b * known[:, None]
    wanted = torch.cat([a, b / 50], dim=1) @ torch.randn(5, 6, generator=generator)
    wanted[~known] = 1e3
    inputs = UserInputs({"a": 3, "b": 2}, 6)
    features = [Features(USER, name, rows, known) for name, rows in (("a", a), ("b", b))]
    inputs.start(features, wanted)
    assert (inputs(features, 80) - wanted)[known].abs().max() < 0.05
    assert inputs.maps["feature b"].unit.item() == b[known].norm(dim=1).mean().item()
