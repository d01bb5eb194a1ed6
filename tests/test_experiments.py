import pytest

from experiments.table_cold_start import COLUMNS, RESULTS, render


@pytest.mark.parametrize("name", COLUMNS)
def test_the_committed_tables_are_those_of_the_committed_results(name: str) -> None:
    if not (RESULTS / f"cold_start_{name}.json").is_file():
        pytest.skip(f"no results of {name} are kept")
    for path, text in render(name).items():
        assert path.read_text() == text
