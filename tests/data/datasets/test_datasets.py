"""What holds for every named data set."""

import pytest

from gnnrec.data.datasets import SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_the_size_is_that_of_the_loaded_data(name, real):
    data = real(name)
    told = [int(word.replace(",", "")) for word in SOURCES[name].size.split() if word[0].isdigit()]
    assert told == [data.num_users, data.num_items, len(data.interactions)]
    assert data.name == name
