"""Masked sums are plain sums, also where clients fail, and what is sent tells nothing of a vector."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.errors import TrainingError
from gnnrec.federated import secure_sum
from gnnrec.federated.secure_sum import PairwiseMasks, masked_sum, plain_sum


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 10_000))
def test_masked_sums_are_plain_sums_whoever_fails(size: int, clients: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(clients, size, generator=generator) * 10 ** torch.randint(-3, 4, (size,), generator=generator)
    arrived = torch.rand(clients, generator=generator) < 0.7
    arrived[0] = True
    plain = plain_sum(vectors, arrived, generator)
    masked = masked_sum(vectors, arrived, generator)
    assert (plain - masked).abs().max() <= clients / secure_sum.SCALE  # half a step of rounding for each client


def test_the_sum_by_hand_in_whole_steps() -> None:
    vectors = torch.tensor([[0.25, -3.0], [1.0, 1.0], [0.5, 7.0]])
    arrived = torch.tensor([True, False, True])
    assert masked_sum(vectors, arrived, torch.Generator().manual_seed(8)).tolist() == [0.75, 4.0]


def test_what_a_client_sends_is_uniform_whatever_its_vector_is() -> None:
    zero, large = torch.zeros(40_000), torch.full((40_000,), 1e4)
    for vector in (zero, large):
        sent = PairwiseMasks(6, torch.Generator().manual_seed(3)).masked(2, vector)
        share = np.bincount((sent >> np.uint64(60)).astype(np.int64), minlength=16) / len(sent)  # the highest 4 bits
        assert np.abs(share - 1 / 16).max() < 0.006  # five standard errors of .0012
        assert len(np.unique(sent)) == len(sent)


def test_masks_of_one_round_are_not_those_of_the_next() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (PairwiseMasks(5, generator).masked(0, torch.zeros(4)) for _ in range(2))
    assert (first != second).all()


def test_each_client_shares_masks_with_a_few_others() -> None:
    masks = PairwiseMasks(200, torch.Generator().manual_seed(4))
    partners = [set(seeds) for seeds in masks._seeds]
    assert {len(one) for one in partners} == {secure_sum.NEIGHBOURS}
    assert all(client in partners[other] for client, one in enumerate(partners) for other in one)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e9])
def test_what_masks_cannot_carry_is_refused(wrong: float) -> None:
    with pytest.raises(TrainingError, match="not finite or not below"):
        masked_sum(torch.tensor([[0.0], [wrong], [0.0]]), torch.ones(3, dtype=torch.bool), torch.Generator())


def test_the_example_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """The code of docs/federated.md runs, and prints what it says."""
    page = (Path(__file__).parents[2] / "docs" / "federated.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[-1] == "[0.75, 2.0]"
