"""A pretrained encoder: what is carried from one platform to another, and how it is taken up there."""

import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import gammaln
from torch import Tensor

from gnnrec.data.match import ItemsBy, Match, Nodes, match
from gnnrec.errors import ConfigError
from gnnrec.graph.block import Block
from gnnrec.nn.encoder import Encoder, Memory
from gnnrec.nn.features import start_map
from gnnrec.runtime import distributed
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, Features, TrainingData, reverse

Part = Literal["attributes", "items", "layers"]
PARTS: tuple[Part, ...] = ("attributes", "items", "layers")
"""What can be kept of a pretrained encoder: the vectors of attribute values, those of items with their popularity, and
the layers."""
PRIOR = 30.0
"""Users whose choices weigh as much as the pretrained vector of an item or a value."""
ENOUGH = 0.5
"""Share of the interactions whose items are known from which on the pretrained factor of the scores is taken: layers
and items that have not met rank at random, and loudly."""
MOST_VALUES = 1_000
"""Attribute values of items by which new items are described: the commonest ones."""
MILLION = 1e6
SHAPES = 2.0 ** np.arange(-6, 8)
"""Of the gamma distribution around the pretrained popularity, of which the likeliest one is taken."""


class MatchConfig(BaseModel):
    """How what is the same on two platforms is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: dict[str, str | None] = Field(default_factory=dict)
    """Name of a relation here -> its name where the encoder was pretrained, null for none; the others are matched by
    name, else by the vectors of their words."""
    items: ItemsBy = "title"
    """Whether items are the same by `title`, by `id`, or never (`none`); what is not, starts from its description."""


@dataclass(frozen=True)
class Pretrained:
    """What an encoder knows that another platform can use. There is no user in it.

    Attributes:
        nodes: of the platforms that it was trained on.
        shape: the options of the encoder that the shapes of its weights hang on.
        weights: of the layers, by name.
        known: node type -> name -> [N, ...] float32: the learned `vector` of each node; the mean vector of the users of
            each relation before each step, by `_message`; of items also `log_share`, the logarithm of an item's share
            of the interactions, and `bias`, what training has added to it.
        seen: node type -> [N] bool, the nodes that some user is linked to.
        logit_scale: of the scores.
        features: name -> width, of the features of items.
        to_item: [F, C] float32, from what describes an item to all that is known of items, one after the other.
        center: [F], the mean description, and [C], the mean of what is predicted.
        encoders: name and encoder of each feature.
        columns: as of `columns_of`.
        user_features: name, encoder and width of each feature of users.
    """

    nodes: Nodes
    shape: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    known: Mapping[str, Mapping[str, Tensor]]
    seen: Mapping[str, Tensor]
    logit_scale: Tensor
    features: Mapping[str, int]
    to_item: Tensor
    center: tuple[Tensor, Tensor]
    columns: Mapping[EdgeType, Tensor]
    encoders: tuple[tuple[str, str], ...] = ()
    user_features: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    @torch.no_grad()
    def of(cls, encoder: Encoder, block: Block, train: TrainingData, bias: Tensor, logit_scale: Tensor) -> "Pretrained":
        """What can be carried of an encoder.

        Args:
            encoder: trained.
            block: the graph that it was trained on.
            train: what that was made from, attribute columns merged as for the encoder.
            bias: [I] float32, what training has added to the items' biases.
            logit_scale: of its scores.
        """
        nodes = nodes_of(train)
        known = {t: {"vector": encoder.table(t).weight.detach().cpu().clone()} for t in nodes.ids}
        for depth, state in enumerate(encoder.states(block)):
            if (users := state[USER]) is not None:
                for edge_type in (t for t in nodes.edge_types if t[0] == USER != t[2]):
                    message = block.adjacency[edge_type].mean(users)
                    known[edge_type[2]][_message(depth, edge_type)] = message.cpu()
        share = (train.popularity + 0.1).log()
        known[ITEM]["log_share"] = share - share.exp().sum().log()
        known[ITEM]["bias"] = bias.detach().cpu().clone()
        features = {one.name: one.vector.shape[1] for one in train.features}
        columns, wanted, seen = columns_of(train, nodes), _columns(known[ITEM]), train.popularity > 0
        rows = describe(train, columns, features, None)
        center = rows[seen].mean(0), wanted[seen].mean(0)
        return cls(
            nodes=nodes,
            shape=shape_of(encoder),
            weights={k: v.cpu().clone() for k, v in encoder.state_dict().items() if not k.startswith("tables.")},
            known=known,
            seen={**{t: train.reachable[t] for t in nodes.ids}, ITEM: seen},
            logit_scale=logit_scale.detach().cpu().clone(),
            features=features,
            to_item=start_map(rows - center[0], wanted - center[1], seen),
            center=center,
            encoders=tuple((one.name, one.encoder[0]) for one in train.features),
            columns=columns,
            user_features=_kinds(train.users.features),
        )


def nodes_of(train: TrainingData) -> Nodes:
    """The nodes and relations of training data by their names."""
    edge_types = (INTERACTS, *train.users.relations, *(relation.type for relation in train.relations))
    return Nodes({t: [str(one) for one in ids] for t, ids in train.ids.items()}, edge_types, train.titles)


def _message(depth: int, edge_type: EdgeType) -> str:
    return f"message {depth} {' '.join(edge_type)}"


def _columns(known: Mapping[str, Tensor]) -> Tensor:
    """[N, C], all that is known of the nodes of a type, one after the other."""
    return torch.cat([one.reshape(len(one), -1) for one in known.values()], dim=1)


@dataclass(frozen=True)
class Carried:
    """A pretrained encoder with what of it is kept on another platform.

    Attributes:
        pretrained: the encoder.
        keep: of `PARTS`.
        attributes: as `gnnrec.data.match.match` takes them.
        items: likewise.
        path: where the encoder is from, for errors.
    """

    pretrained: Pretrained
    keep: tuple[str, ...]
    attributes: Mapping[str, str | None]
    items: ItemsBy
    path: Path

    def __post_init__(self) -> None:
        if not hasattr(self.pretrained, "columns"):
            raise ConfigError(f"model.pretrained: {self.path}: an older version wrote it; run gnnrec pretrain again")

    def into(self, encoder: Encoder, train: TrainingData) -> "Taken":
        """Starts an encoder from the pretrained one.

        Raises:
            ConfigError: shapes differ, or nothing at all is the same.
        """
        pretrained, keep = self.pretrained, self.keep
        if distributed.count() > 1:
            raise ConfigError("trainer.devices: with a pretrained encoder, training takes one process; set it to 1")
        check_shape(encoder, pretrained, keep, self.path)
        if "items" in keep:
            _check_features(train, pretrained, self.path)
        if "layers" in keep:
            _check_user_features(train, pretrained, self.path)
        try:
            found = match(nodes_of(train), pretrained.nodes, attributes=self.attributes, items=self.items)
        except ConfigError as error:
            raise ConfigError(f"model.{error}") from None
        if not found.words:
            told = "names alone are compared with the pretrained encoder's; pip install 'gnnrec[text]' to compare words"
            warnings.warn(told, stacklevel=2)
        report, prior = take_up(encoder, train, pretrained, found, keep)
        if not any(sum(numbers.get(how, 0) for how in ("same", "near", "described")) for numbers in report.values()):
            raise ConfigError(
                f"model.pretrained: {self.path}: nothing of it is found on this platform; compare the names"
            )
        share_known = float(train.popularity[prior.known].sum() / train.popularity.sum().clamp(min=1))
        alike = share_known >= ENOUGH or not train.popularity.any()  # else training starts from popularity alone
        scale = pretrained.logit_scale if "layers" in keep and alike else None
        if "items" not in keep or not prior.known.any():
            return Taken(report, None, torch.zeros(train.num_items), scale)
        share = PRIOR / (train.popularity + PRIOR)
        bias = share * prior.value["bias"] if "layers" in keep else torch.zeros(train.num_items)
        return Taken(report, ExpectedPopularity.fitted(train.popularity, prior), bias, scale)


@dataclass(frozen=True)
class Taken:
    """What an encoder started from.

    Attributes:
        report: how much was taken, as of `take_up`.
        expected: the popularity to start the items' biases from; None for the platform's own.
        bias: [I] float32, to add to them.
        logit_scale: to start the factor of the scores from; None for its own.
    """

    report: dict[str, Any]
    expected: "ExpectedPopularity | None"
    bias: Tensor
    logit_scale: Tensor | None


def shape_of(encoder: Encoder) -> dict[str, Any]:
    """The options of an encoder that the shapes of its weights hang on."""
    return encoder.config.model_dump(mode="json", include={"layer", "layer_options", "channels", "layers", "norm"})


def columns_of(train: TrainingData, nodes: Nodes) -> dict[EdgeType, Tensor]:
    """Relation from items to values -> [N] int64, the column of each value, -1 for one beyond the commonest ones."""
    own = [t for t in nodes.edge_types if t[0] == ITEM and t[2] not in (USER, ITEM)]
    count = {t: torch.zeros(len(nodes.ids[t[2]])) for t in own}
    for relation in train.relations:
        if relation.type in count:
            count[relation.type] += torch.bincount(relation.edge_index[1], minlength=len(count[relation.type]))
    every = torch.cat([torch.empty(0), *count.values()])
    kept = torch.zeros(len(every), dtype=torch.bool)
    kept[every.argsort(descending=True, stable=True)[:MOST_VALUES]] = True
    column = torch.where(kept, kept.cumsum(0) - 1, -1)
    return dict(zip(own, column.split([len(one) for one in count.values()]), strict=True))


def describe(
    train: TrainingData, columns: Mapping[EdgeType, Tensor], features: Mapping[str, int], found: Match | None
) -> Tensor:
    """[I, F] float32, what describes the items of a platform, in the columns of a pretrained encoder.

    Attribute values together, and each feature, have rows of length about 1.

    Args:
        train: the platform.
        columns: of the encoder, as of `columns_of`.
        features: name -> width, of the encoder's features.
        found: what of the platform is the same; None for the encoder's own.
    """
    values = torch.zeros(train.num_items, sum(int((one >= 0).sum()) for one in columns.values()))
    for relation in train.relations:
        theirs = relation.type if found is None else found.relations.get(relation.type)
        if theirs is None or theirs not in columns:
            continue
        item, value = relation.edge_index
        if found is not None:
            value = torch.from_numpy(found.types[relation.target].row)[value]
        column = torch.where(value >= 0, columns[theirs][value], -1)
        values[item[column >= 0], column[column >= 0]] = 1
    parts = [values / values.sum(1, keepdim=True).clamp(min=1).sqrt()]
    own = {one.name: one for one in train.features}
    for name, width in features.items():
        vector = own[name].vector if name in own else torch.zeros(train.num_items, width)
        parts.append(vector / vector.norm(dim=1, keepdim=True).clamp(min=1e-12))
    return torch.cat(parts, dim=1)


def _check_features(train: TrainingData, pretrained: Pretrained, path: Path) -> None:
    """Looks for the pretrained encoder's features of items: a missing one is told, one of another kind is refused."""
    own, encoders = {one.name: one for one in train.features}, dict(pretrained.encoders)
    for name, width in pretrained.features.items():
        if name not in own:
            told = f"model.pretrained: {path}: items are not described by {name!r} here; name it in data.features"
            warnings.warn(told, stacklevel=3)
            continue
        here = own[name].encoder[0], own[name].vector.shape[1]
        there = encoders.get(name, here[0]), width
        if here != there:
            raise ConfigError(
                f"model.pretrained: {path}: feature {name!r} has {there[1]} numbers of {there[0]} there, {here[1]} of "
                f"{here[0]} here; use the same encoder"
            )


def _kinds(features: Sequence[Features]) -> tuple[tuple[str, str, int], ...]:
    return tuple((one.name, one.encoder[0], one.vector.shape[1]) for one in features)


def _check_user_features(train: TrainingData, pretrained: Pretrained, path: Path) -> None:
    """As `_check_features`, of users."""
    own = {name: kind for name, *kind in _kinds(train.users.features)}
    for name, *there in pretrained.user_features:
        if name not in own:
            warnings.warn(
                f"model.pretrained: {path}: users are not described by {name!r} here; name it in data.users",
                stacklevel=3,
            )
        elif own[name] != there:
            raise ConfigError(
                f"model.pretrained: {path}: feature {name!r} of users has {there[1]} numbers of {there[0]} there, "
                f"{own[name][1]} of {own[name][0]} here; use the same encoder, or leave layers out of model.keep"
            )


def check_shape(encoder: Encoder, pretrained: Pretrained, keep: Iterable[str], path: Path) -> None:
    """Raises ConfigError where the encoder's vectors or layers cannot be those of the pretrained one."""
    own, theirs = shape_of(encoder), dict(pretrained.shape)
    wanted = own.keys() if "layers" in keep else ["channels"]
    for key in wanted:
        if own[key] != theirs.get(key):
            advice = "" if key == "channels" else ", or leave layers out of model.keep"
            raise ConfigError(
                f"model.pretrained: {path}: has encoder.{key} {theirs.get(key)}, this model {own[key]}; set it to the "
                f"same{advice}"
            )


@dataclass(frozen=True)
class Prior:
    """What a pretrained encoder knows of the nodes of one type on another platform.

    Attributes:
        known: [N] bool, the nodes of which it knows anything.
        same: [N] bool, those of which it knows more than a description.
        value: name -> [N, ...] float32, as in `Pretrained.known`.
    """

    known: Tensor
    same: Tensor
    value: Mapping[str, Tensor]


def _nothing(count: int) -> Prior:
    unknown = torch.zeros(count, dtype=torch.bool)
    return Prior(unknown, unknown, {})


def prior_of(train: TrainingData, node_type: str, pretrained: Pretrained, found: Match) -> Prior:
    """What is known of nodes that match or are near to others; of items, else, what their description predicts."""
    one, count = found.types.get(node_type), len(train.ids[node_type])
    theirs = pretrained.known.get(node_type if one is None else one.theirs, {})
    if not theirs:
        return _nothing(count)
    every = _columns(theirs)
    value, known = torch.zeros(count, every.shape[1]), torch.zeros(count, dtype=torch.bool)
    if one is not None and len(every):
        near, weight = torch.from_numpy(one.near), torch.from_numpy(one.weight)
        weight = weight * pretrained.seen[one.theirs][near]  # nothing was learned of a node that nobody is linked to
        known = weight.sum(1) > 0
        value = (every[near] * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1e-12)
    same = known
    if node_type == ITEM:
        rows = describe(train, pretrained.columns, pretrained.features, found)
        predicted = (rows - pretrained.center[0]) @ pretrained.to_item + pretrained.center[1]
        value, known = torch.where(known[:, None], value, predicted), known | rows.any(1)
    value = value * known[:, None]
    parts = value.split([one.numel() // max(len(one), 1) for one in theirs.values()], dim=1)
    return Prior(known, same, {k: v if theirs[k].dim() == 2 else v[:, 0] for k, v in zip(theirs, parts, strict=True)})


@torch.no_grad()
def take_up(
    encoder: Encoder, train: TrainingData, pretrained: Pretrained, found: Match, keep: Sequence[str]
) -> tuple[dict[str, Any], Prior]:
    """Starts an encoder from a pretrained one.

    Layers of relations that match are copied. A value, or an item, that matches starts from the pretrained vector, one
    that is near to others from the mean of theirs, and an item that does not match from what its description predicts.
    Where the encoder has a start of its own from the platform's interactions, a rotation brings that nearest to the
    pretrained vectors of the items that are known, and both are averaged. Messages of the
    pretrained encoder's users are remembered beside those of the platform's own. `PRIOR` users weigh as much as what is
    pretrained.

    Args:
        encoder: of the new platform, with its own start.
        train: the new platform's training data, attribute columns merged as for the encoder.
        pretrained: the pretrained encoder.
        found: what is the same.
        keep: of `PARTS`.

    Returns:
        How much was taken: node type -> numbers of nodes that are `same`, `near` or `described` and of all, and the
        numbers of `layers` taken and of all; and what is known of the items.
    """
    report: dict[str, Any] = {}
    of_items = prior_of(train, ITEM, pretrained, found) if "items" in keep else _nothing(train.num_items)
    kept = [t for t in encoder.node_types if t != USER and ("items" if t == ITEM else "attributes") in keep]
    informed = of_items.known & (train.popularity > 0)
    turn = None
    if encoder.config.init == "svd" and "items" in keep and informed.any():
        own = encoder.table(ITEM).weight.detach().cpu()
        turn = _rotation(own, of_items.value["vector"], informed, train.popularity)
    counts = {edge_type: _users(train, edge_type) for edge_type in nodes_of(train).edge_types if edge_type[0] == USER}
    for node_type in kept:
        prior = of_items if node_type == ITEM else prior_of(train, node_type, pretrained, found)
        table, one = encoder.table(node_type).weight, found.types.get(node_type)
        own, weight = table.detach().cpu(), torch.zeros(len(table), 1)
        count = torch.stack([torch.zeros(len(own)), *(n for t, n in counts.items() if t[2] == node_type)]).sum(0)
        if turn is not None and count.any():
            own, weight = own @ turn, (count / (count + PRIOR))[:, None]
        if prior.value:
            start = torch.where(prior.known[:, None], torch.lerp(prior.value["vector"], own, weight), own)
            table.copy_(start.to(table.device))
        same = 0 if one is None else int((one.row >= 0).sum())
        near = 0 if one is None else int(one.known.sum()) - same
        others = int(prior.known.sum()) - same - near
        report[node_type] = {"same": same, "near": near, "described": max(others, 0), "of": len(own)}
        if "layers" in keep:
            for mine, other in found.relations.items():
                for depth in range(1, encoder.config.layers):
                    message = prior.value.get(_message(depth, other))
                    if mine[0] == USER and mine[2] == node_type and message is not None:
                        memory = Memory(message, PRIOR * prior.known)
                        encoder.memory[depth, mine] = memory.to(encoder.device)
    if "layers" in keep:
        report["layers"] = _take_layers(encoder, pretrained, found)
    return report, of_items


def _rotation(own: Tensor, wanted: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """[D, D], the rotation and scale that bring vectors nearest to others; so no distance among them is lost.

    Source: Schoenemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31 (1966).

    Args:
        own: [N, D] float32.
        wanted: [N, D] float32.
        known: [N] bool, the nodes that are compared.
        weight: [N] float32, what each of them counts.
    """
    root = weight[known].double().sqrt()[:, None]
    mine, theirs = own[known].double() * root, wanted[known].double() * root
    left, _, right = torch.linalg.svd(mine.t() @ theirs)
    scale = theirs.norm() / mine.norm().clamp(min=1e-12)
    rotation: Tensor = (left @ right * scale).float()
    return rotation


def _users(train: TrainingData, edge_type: EdgeType) -> Tensor:
    """[N] float32, the users of each node at the end of a relation."""
    if edge_type == INTERACTS:
        return train.popularity
    size = train.num_users if edge_type[2] == USER else len(train.ids[edge_type[2]])
    return torch.bincount(train.users.relations[edge_type].node, minlength=size).float()


@dataclass(frozen=True)
class ExpectedPopularity:
    """The items' shares of the interactions, as a platform's own and a pretrained popularity let expect them.

    An item's own count is Poisson around its expected one, and that is the pretrained one times a gamma variable with
    mean 1, whose shape is the likeliest of `SHAPES`: so what is chosen often follows its own count, and what is chosen
    rarely follows the pretrained one. Before, the pretrained shares of the items that match, and of those that are only
    described, are scaled to what both groups have here together.

    Source: Clayton, Kaldor, Empirical Bayes estimates of age-standardized relative risks, Biometrics 43 (1987),
        equation 2.

    Attributes:
        share: [I] float64, of the pretrained popularity, adding up to 1.
        shape: [I] float64, of the gamma distributions.
    """

    share: Tensor
    shape: Tensor

    @classmethod
    def fitted(cls, popularity: Tensor, prior: Prior) -> "ExpectedPopularity":
        """The likeliest shapes, one for the items that match and one for those that are described.

        Args:
            popularity: [I] float32, the platform's own.
            prior: of the items; at least one is known.
        """
        known, log_share = prior.known, prior.value["log_share"]
        share = torch.where(known, log_share, log_share[known].mean()).double().exp()
        if popularity.any():  # means of logarithms, as descriptions predict them, are lower than those of shares
            for group in (prior.same, ~prior.same):
                share[group] *= (popularity[group].sum() + 1).double() / share[group].sum().clamp(min=1e-12)
        share = share / share.sum()
        shape = torch.full_like(share, SHAPES[-1])
        for group in (prior.same, ~prior.same):
            count, mean = (one[group].double().numpy() for one in (popularity, share * popularity.sum()))
            if count.any():
                shape[group] = max(SHAPES, key=functools.partial(_log_likelihood, count, mean))
        return cls(share, shape)

    def __call__(self, popularity: Tensor) -> Tensor:
        """[I] float32, out of a million interactions; from the platform's own counts ([I])."""
        count = popularity.double()
        mean = self.share * count.sum()
        expected = self.share * (count + self.shape) / (mean + self.shape)
        return (MILLION * expected / expected.sum()).float()

    def of(self, place: Tensor) -> "ExpectedPopularity":
        """Of items in another order ([I'] int64, -1 for a new one, which gets the mean share)."""
        known, place = place >= 0, place.clamp(min=0)
        share = torch.where(known, self.share[place], self.share.mean())
        return ExpectedPopularity(share / share.sum(), torch.where(known, self.shape[place], self.shape.min()))


def _log_likelihood(count: np.ndarray, mean: np.ndarray, shape: float) -> float:
    """Of counts that are Poisson around `mean` times a gamma variable of this shape, but for what no shape changes."""
    own = gammaln(count + shape) - gammaln(shape) + shape * np.log(shape) - (count + shape) * np.log(shape + mean)
    return float(own.sum())


def take_memory(
    encoder: Encoder, ids: Mapping[str, Sequence[Any]], old: Encoder, old_ids: Mapping[str, Sequence[Any]]
) -> None:
    """Takes the remembered messages of an encoder of the same relations, by ids of nodes."""
    for (depth, edge_type), memory in old.memory.items():
        row = {one: place for place, one in enumerate(old_ids[edge_type[2]])}
        place = torch.tensor([row.get(one, -1) for one in ids[edge_type[2]]], dtype=torch.int64)
        there, place = (place >= 0).float(), place.clamp(min=0)
        message, users = memory.message.cpu()[place] * there[:, None], memory.users.cpu()[place] * there
        encoder.memory[depth, edge_type] = Memory(message, users).to(encoder.device)


def _take_layers(encoder: Encoder, pretrained: Pretrained, found: Match) -> dict[str, int]:
    """Copies the layers and norms of what matches."""
    relations = dict(found.relations)
    relations |= {reverse(own): reverse(theirs) for own, theirs in relations.items()}
    types = {USER: USER, ITEM: ITEM, **{own: one.theirs for own, one in found.types.items()}}
    own, taken = encoder.state_dict(), {}
    for name in own:
        theirs = encoder.renamed(name, relations, types)
        weight = None if theirs is None else pretrained.weights.get(theirs)
        if weight is not None and weight.shape == own[name].shape:
            taken[name] = weight.to(own[name].device)
    encoder.load_state_dict({**own, **taken})
    return {"same": len(taken), "of": sum(not name.startswith("tables.") for name in own)}
