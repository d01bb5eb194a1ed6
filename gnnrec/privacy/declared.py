"""What may not be learned from at all under differential privacy, each refused with one line."""

from collections.abc import Sequence

from gnnrec.errors import ConfigError
from gnnrec.views import ITEM, EdgeType, TrainingData


def private_relations(
    train: TrainingData, attributes: Sequence[str] | None, declared: Sequence[str]
) -> tuple[EdgeType, ...]:
    """The relations from users to attribute values that are read, if all of them are inside the guarantee.

    The guarantee is about the numbers that are learned. Everything else that a model has from its training users must
    be public: the ids of items and of attribute values, which give tables their shape, and bounds of bins.

    Args:
        train: the training data.
        attributes: names of the relations to read; None for all that users have.
        declared: node types whose ids are public, whoever is among the users: `item`, and those of attribute values.

    Raises:
        ConfigError: users are linked to users, have events, or are described by words, pictures or vectors; bounds of
            bins, or knots, were fitted on users; a list of ids is not declared; or there is no such relation.
    """
    relations = {t[1]: t for t in train.users.relations}
    own = {one.name for one in train.users.features}
    chosen = [*relations, *own] if attributes is None else attributes
    found: list[EdgeType] = []
    for name in chosen:
        if name in own:
            raise ConfigError(f"attributes: {name!r} describes users by numbers, which are not clipped; leave it out")
        if name not in relations:
            raise ConfigError(f"attributes: {name!r} is no attribute of the users; there are {list(relations)}")
        if relations[name] in train.user_types:
            raise ConfigError(
                f"attributes: {name!r} links users to users, so that one user's data would be in another one's "
                f"contribution; name the attributes to read without it"
            )
        if relations[name] in train.users.events:
            raise ConfigError(f"attributes: {name!r} are events, which are not clipped; name the others")
        if name in train.fitted_bounds:
            raise ConfigError(
                f"attributes: the bounds of {name!r} are quantiles of the training users' numbers; give `bounds` from "
                "public knowledge, or name the attributes without it"
            )
        if relations[name][2] in {t[2] for t in found}:
            raise ConfigError(f"attributes: {name!r} leads to the same values as another one; name one of them")
        found.append(relations[name])
    for node_type in dict.fromkeys([ITEM, *(t[2] for t in found)]):
        if node_type not in declared:
            raise ConfigError(
                f"declared: must name {node_type!r}, got {list(declared)}; an id that one user alone has would reveal "
                "that user, so declare the list of ids public, or name the attributes to read without it"
            )
    return tuple(found)
