"""Fewer draws: these tests are about what is drawn for, not about the last digit of a p-value."""

import pytest

from gnnrec.experiment import paired as pairing


@pytest.fixture(scope="module", autouse=True)
def fewer_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "RESAMPLES", 1_000)
        yield
