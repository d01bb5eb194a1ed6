"""What holds for every baseline: the contract, the docstring, typed options, and an import that costs nothing."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

import gnnrec.models.baselines
from gnnrec.options.resolve import complete_options, resolve
from gnnrec.testing.recommender import assert_recommender

NEEDS = {"ALS": "implicit", "BPR": "implicit", "IRSpack": "irspack", "LightFM": "lightfm"}
NEEDS |= dict.fromkeys(("DropoutNet", "Heater", "GAR", "ALDI"), "implicit")
SAME_FOR_ALL = {"learns": False, "draws": False}
COUNTS = {"learns": True, "draws": False}

CASES: list[tuple[str, dict[str, Any], dict[str, bool]]] = [
    ("Popularity", {}, SAME_FOR_ALL),
    ("RecentPopularity", {}, SAME_FOR_ALL),
    ("Random", {}, SAME_FOR_ALL),
    ("MarkovChain", {"half_life": 0.5}, SAME_FOR_ALL),
    ("SASRec", {"channels": 8, "finetune": {"epochs": 2}}, {"learns": False, "draws": True}),
    ("ItemMean", {}, SAME_FOR_ALL),
    ("Biases", {}, SAME_FOR_ALL),
    ("Biases", {"cold": "attributes"}, SAME_FOR_ALL),
    ("Biases", {"informed": True}, SAME_FOR_ALL),
    ("GlobalMean", {}, SAME_FOR_ALL),
    ("SegmentItemMean", {"shrinkage": 5.0, "strength": 2.0}, COUNTS),
    ("AttributeKNNRatings", {"shrinkage": 1.0, "power": 4.0}, COUNTS),
    ("SegmentItemMean", {"shrinkage": 5.0, "strength": 2.0, "predict": "gain"}, COUNTS),
    (
        "SegmentItemMean",
        {"shrinkage": 5.0, "strength": 2.0, "predict": "median"},
        {"learns": False, "draws": True},
    ),  # it ties
    ("BilinearRatings", {"regularization": 3.0}, COUNTS),
    ("BiasedMF", {}, {"learns": False, "draws": True}),
    ("BiasedMF", {"cold": "attribute_map"}, {"learns": False, "draws": True}),  # learns: test_ratings_factorization.py
    ("SegmentPopularity", {"shrinkage": 100.0}, COUNTS),
    ("SegmentPopularity", {"idf": True, "normalise": "sum", "strength": 4.0, "shrinkage": 10.0}, COUNTS),
    ("NeighbourPopularity", {}, COUNTS),
    ("NeighbourPopularity", {"friends": 1.0, "attributes": 0.0}, COUNTS),
    ("NeighbourPopularity", {"neighbours": 10}, COUNTS),
    ("AttributeKNN", {"k": 20}, COUNTS),
    ("LogisticRegression", {"regularization": 0.1}, COUNTS),
    ("GradientBoosting", {"trees": 3, "subsample": 0.5}, {"learns": True, "draws": True}),
    ("AttributeLinear", {}, COUNTS),
    ("AttributeLinear", {"friends": True, "normalise": "length"}, COUNTS),
    ("AttributeLinear", {"rank": 6}, {"learns": True, "draws": True}),
    ("AttributeLinear", {"svd_rank": 8, "regularization": "choose"}, {"learns": True, "draws": True}),
    ("ALS", {"cold": "mean"}, {"learns": False, "draws": True}),
    ("ALS", {"cold": "none"}, {"learns": False, "draws": True}),
    ("ALS", {"cold": "attribute_map"}, {"learns": True, "draws": True}),
    ("BPR", {"cold": "none"}, {"learns": False, "draws": True}),
    ("BPR", {"cold": "mean"}, {"learns": False, "draws": True}),
    ("BPR", {"cold": "attribute_map", "friends": True}, {"learns": True, "draws": True}),
    ("IRSpack", {}, {"learns": True, "draws": True}),
    ("IRSpack", {"regularization": 0.3, "friends": True, "item_features": True}, {"learns": True, "draws": True}),
    ("ItemKNN", {}, COUNTS),
    ("ItemKNN", {"neighbours": 5, "shrinkage": 3.0}, COUNTS),
    ("EASE", {"regularization": 10.0}, COUNTS),
    ("EASE", {"regularization": 10.0, "max_items": 12}, COUNTS),
    ("DenoisingRegression", {"penalty": 1.0}, COUNTS),
    ("DenoisingRegression", {}, COUNTS),
    *((name, {}, {"learns": True, "draws": True}) for name in ("DropoutNet", "Heater", "CLCRec", "GAR", "ALDI")),
    *((name, {}, {"learns": True, "draws": True}) for name in ("MeLU", "AGNN", "LightGCN")),
    ("LightFM", {"epochs": 5}, {"learns": True, "draws": True}),
    ("LightFM", {"epochs": 5, "identity": True, "friends": True}, {"learns": True, "draws": True}),
]


LISTED = {name for name, _, _ in CASES}
CASES += [
    (name, {}, {"learns": False, "draws": True}) for name in gnnrec.models.baselines.__all__ if name not in LISTED
]
"""Of a baseline that is not listed, its own test says whether it learns from attributes and draws nothing."""
FIRST = [place for place, (name, _, _) in enumerate(CASES) if name not in {other for other, _, _ in CASES[:place]}]


@pytest.mark.parametrize("case", FIRST, ids=lambda place: CASES[place][0])
def test_every_baseline_keeps_the_contract(case: int) -> None:
    keep_the_contract(*CASES[case])


@pytest.mark.parametrize("case", sorted({*range(len(CASES))} - {*FIRST}), ids=lambda place: str(CASES[place][:2]))
def test_so_do_its_other_options(case: int, loaded_in_this_process: None) -> None:
    keep_the_contract(*CASES[case])


def keep_the_contract(name: str, options: dict[str, Any], kind: dict[str, bool]) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{name} needs gnnrec[mf]")
    assert_recommender(resolve(name, gnnrec.models.baselines), options, seed=3, **kind)


def test_every_case_is_a_baseline() -> None:
    assert set(gnnrec.models.baselines.__all__) >= LISTED


@pytest.mark.parametrize("name", gnnrec.models.baselines.__all__)
def test_docstring_and_options(name: str) -> None:
    model = resolve(name, gnnrec.models.baselines)
    document = inspect.cleandoc(model.__doc__ or "")
    assert "\nSource: " in document
    assert "\nShapes: " in document
    for option in complete_options(model, {}):
        assert f"\n    {option}: " in document, f"{option} is not explained"


@pytest.mark.slow
def test_importing_the_baselines_imports_no_heavy_library() -> None:
    heavy = "('implicit', 'irspack', 'lightfm', 'sklearn')"
    code = f"import sys, gnnrec.models.baselines; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
