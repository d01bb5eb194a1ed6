import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.errors import ConfigError
from gnnrec.serving.topk import Index, exact


def vectors(count, width, seed):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(st.integers(0, 5), st.integers(1, 30), st.integers(1, 12), st.integers(1, 40))
def test_blocks_of_any_size_give_what_the_whole_matrix_gives(users, items, number, block):
    user, item = vectors(users, 4, 0), vectors(items, 4, 1)
    score, best = exact(user, item, number, block)
    expected = (user @ item.t()).topk(min(number, items), dim=1)
    torch.testing.assert_close(score, expected.values)
    assert torch.equal(best, expected.indices)  # random numbers do not tie


def test_hand_worked():
    # Scores of user (1, 2): 3, 4, 1, 0.
    item = torch.tensor([[1.0, 1.0], [0.0, 2.0], [1.0, 0.0], [2.0, -1.0]])
    score, best = exact(torch.tensor([[1.0, 2.0]]), item, 3)
    assert (score.tolist(), best.tolist()) == ([[4, 3, 1]], [[1, 0, 2]])


class TestIndex:
    def test_all_cells_together_are_exact(self):
        pytest.importorskip("faiss")
        user, item = vectors(7, 8, 0), vectors(500, 8, 1)
        index = Index(item, cells=5, probes=5)
        score, best = index(user, 10)
        expected = exact(user, item, 10)
        torch.testing.assert_close(score, expected[0])
        assert torch.equal(best, expected[1])
        assert index.recall(user, 10) == 1

    def test_recall_counts_what_is_missed(self):
        pytest.importorskip("faiss")
        user, item = vectors(20, 8, 0), vectors(2_000, 8, 1)
        index = Index(item, cells=40, probes=1)
        found, true = index(user, 10)[1].tolist(), exact(user, item, 10)[1].tolist()
        share = sum(len(set(f) & set(t)) for f, t in zip(found, true, strict=True)) / 200
        assert index.recall(user, 10) == pytest.approx(share)
        assert 0.05 < share < 0.95  # one cell of forty holds some of the best, not all

    def test_fewer_items_than_asked_for(self):
        pytest.importorskip("faiss")
        score, best = Index(torch.tensor([[1.0], [2.0]]), cells=1)(torch.tensor([[1.0]]), 3)
        assert best.tolist() == [[1, 0, -1]]
        assert score.tolist() == [[2, 1, -torch.inf]]

    def test_without_faiss_one_line_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "faiss", None)
        with pytest.raises(ConfigError, match=r"gnnrec\[faiss\]"):
            Index(vectors(10, 2, 0))
