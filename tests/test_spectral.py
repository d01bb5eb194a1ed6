import numpy as np
import torch

from gnnrec.data.made import made
from gnnrec.spectral import SpectralRegression, decompose, start_vectors
from gnnrec.split import UnseenUsers, make_split

SPLIT = make_split(made(0, num_users=200), UnseenUsers(test=0.2, validation=0.2), 0)


def test_decomposition_against_a_dense_svd() -> None:
    train = SPLIT.train
    history = train.users.history(train.num_items).double().numpy()
    balanced = history / np.maximum(history.sum(1), 1)[:, None] ** 0.5 / np.maximum(history.sum(0), 1) ** 0.25
    strength = np.linalg.svd(balanced, compute_uv=False)
    spectrum = decompose(train, 8, 0)
    np.testing.assert_allclose(spectrum.strength[:3], strength[:3], rtol=1e-2)  # a randomised decomposition
    full = decompose(train, 1000, 0)
    np.testing.assert_allclose(full.user @ full.item.T, balanced, atol=1e-8)


def test_start_vectors_fill_up_with_zeros_and_are_alike_within_a_group() -> None:
    train = SPLIT.train
    vectors = start_vectors(decompose(train, 4, 0), 6)
    assert vectors.shape == (40, 6)
    assert (vectors[:, 4:] == 0).all()
    torch.testing.assert_close(vectors[:, :4].square().mean(), torch.tensor(1.0))
    unit = torch.nn.functional.normalize(vectors[train.candidates], dim=1)
    group = torch.arange(40)[train.candidates] % 4
    alike, same = unit @ unit.t(), group[:, None] == group
    assert alike[same].mean() > alike[~same].mean() + 0.3


def test_regression_finds_the_group_of_unseen_users() -> None:
    train, users = SPLIT.train, SPLIT.validation.users
    expected = SpectralRegression(train, decompose(train, 8, 0), 1.0)(users)
    assert (expected >= 0).all()
    share = (expected.topk(5).indices % 4 == (users.index % 4)[:, None]).float().mean()
    assert share > 0.8  # chance is 0.25
