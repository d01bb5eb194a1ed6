import numpy as np
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.nn.init import attribute_vectors, decompose, start_vectors
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import USER

SPLIT = make_split(synthetic(0, num_users=200), UnseenUsers(test=0.2, validation=0.2), 0)


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


def test_a_value_starts_where_its_users_stand() -> None:
    train = SPLIT.train
    spectrum = decompose(train, 4, 0)
    vectors = attribute_vectors(train, spectrum, 6)
    assert set(vectors) == {"club", "colour", "age"}  # friends own no table, categories belong to items
    place = spectrum.user / spectrum.strength**0.5
    place = place - place.mean(0)
    plain = {}
    for _, _, node_type in train.attribute_types:
        edges = train.users.relations[USER, node_type, node_type]
        rows = [place[edges.row[edges.node == value].numpy()] for value in range(len(train.ids[node_type]))]
        plain[node_type] = np.stack([own.sum(0) / (len(own) + 10) for own in rows])
    root = np.sqrt(np.mean(np.concatenate(list(plain.values())) ** 2))
    for node_type, expected in plain.items():
        np.testing.assert_allclose(vectors[node_type][:, :4], expected / root, rtol=1e-5, atol=1e-6)
        assert (vectors[node_type][:, 4:] == 0).all()
    assert vectors["club"].square().mean() > 5 * vectors["colour"].square().mean()  # only clubs say something
