"""The library implicit: models that are fitted with one thread."""

from typing import Any, Literal

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.graph.matrices import as_csr_matrix, histories
from gnnrec.runtime import seeds
from gnnrec.views import TrainingData


def library_model(module: Literal["als", "bpr"], name: str, options: dict[str, Any], **further: Any) -> Any:
    """A model of implicit that computes with one thread: with several, two runs of BPR differ.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        import implicit.cpu.als
        import implicit.cpu.bpr
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(f"{name} needs the library implicit: pip install 'gnnrec[mf]' ({error})") from error

    # implicit asks for a BLAS of one thread, being several times slower otherwise, and warns where there is another.
    with threadpool_limits(1, "blas"):
        return getattr(getattr(implicit.cpu, module), name)(**options, num_threads=1, **further)


def fit_library(
    module: Literal["als", "bpr"], name: str, options: dict[str, Any], train: TrainingData, seed: int
) -> Any:
    """A fitted model of implicit.

    Raises:
        ConfigError: the library is not installed.
        TrainingError: the vectors are not finite.
    """
    model = library_model(module, name, options, random_state=seeds.integer(seed, f"implicit {module}") % 2**32)
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        try:
            known = histories(train.users, train.num_items, events=module == "als")  # BPR has no weights
            model.fit(as_csr_matrix(known), show_progress=False)
        except ModelFitError as error:
            raise TrainingError(f"{name} with {options}: {error}; raise its regularization") from error
    return model


def check_at_least_1(**options: int) -> None:
    """Raises ValueError, naming the option that is out of range."""
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_above_0(**options: float) -> None:
    """Raises ValueError, naming the option that is out of range."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
