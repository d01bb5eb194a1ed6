"""The JSON of one new user -> UserBatch: `gnnrec recommend --user '{...}'` as edges."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnnrec.errors import InputError
from gnnrec.serving.described import describe
from gnnrec.serving.encode import KEPT, Values, attribute_edges, batch, item_edges, unknown_name, value_note
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import UserBatch


def parse(text: str) -> dict[str, Any]:
    """The profile as a mapping.

    Raises:
        InputError: the text is no JSON object.
    """
    shown = " ".join(text.split())  # on one line
    try:
        profile = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"--user: not JSON at character {error.pos + 1} ({error.msg}): {shown}; "
            'write for example \'{"age": 25, "gender": "F"}\''
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        raise InputError(f"--user: cannot be read ({type(error).__name__}: {error}); write shorter values") from None
    if not isinstance(profile, dict):
        raise InputError(f"--user: must be a JSON object such as '{{\"age\": 25}}', got {shown}")
    return profile


def encode(
    vocabulary: Vocabulary, profile: Mapping[str, Any], items: Sequence[Any] = ()
) -> tuple[UserBatch, list[str]]:
    """One new user as edges to the nodes of training.

    Args:
        vocabulary: of the model.
        profile: name of an attribute or relation (or, where only one relation leads there, the node type of its values)
            -> a value, a list of values, or a mapping from value to weight; null is no value. A feature has a text, or
            a list of numbers. Kinds of events are named
            so, too; items of the kind that is predicted are known items.
        items: ids of items that the user is known to have chosen.

    Returns:
        The user, and a warning for each name or value that is unknown and so ignored.
    """
    warnings: list[str] = []
    predicted = vocabulary.kinds.predicted
    if predicted is not None and predicted in profile:
        items = [*items, *_weights(predicted, profile[predicted], warnings)]
        profile = {name: value for name, value in profile.items() if name != predicted}
    names = vocabulary.names(profile)
    edges = {}
    for edge_type, name in names.items():
        weights = _weights(name, profile.get(name), warnings)
        values = _of_one_user(list(weights), np.array(list(weights.values())))
        edges[edge_type], fate = attribute_edges(vocabulary, edge_type, values)
        for text, why in zip(weights, fate.tolist(), strict=True):
            if why != KEPT:
                warnings.append(value_note(vocabulary, edge_type, name, why, text))
    known_names = {*names.values(), *vocabulary.feature_names}
    warnings += [unknown_name(vocabulary, name) for name in profile if name not in known_names]
    cells = {name: [value] for name, value in profile.items() if name in vocabulary.feature_names}
    features, told = describe(vocabulary.features, cells, 1)
    warnings += told
    texts = [_text(item) for item in items]
    known, fate = item_edges(vocabulary, _of_one_user(texts))
    for text, why in zip(texts, fate.tolist(), strict=True):
        if why != KEPT:
            warnings.append(f"unknown item {text!r} is ignored; items are named by the ids of the data")
    return batch(1, known, edges, features), warnings


def _of_one_user(texts: list[str], weight: np.ndarray | None = None) -> Values:
    return Values(np.zeros(len(texts), dtype=np.int64), np.array(texts, dtype=object), weight)


def _weights(name: str, values: Any, warnings: list[str]) -> dict[str, float]:
    """Value -> weight, from a value, a list, or a mapping."""
    if not isinstance(values, Mapping):
        many = values if isinstance(values, list) else [values]
        return {_text(value): 1.0 for value in many if value is not None}
    found = {}
    for value, weight in values.items():
        if isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0:
            found[_text(value)] = float(weight)
        else:
            warnings.append(f"{name}: {value!r} is ignored: its weight {weight!r} is no number of at least 0")
    return found


def _text(value: Any) -> str:
    """A value of JSON as a cell of a file has it: without blanks around it, and `true` for a truth value."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
