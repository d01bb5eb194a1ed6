"""Numbers of users between knots: fitted on training users, as weighted edges, audited, in graphs and in matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit, audit_graph
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError, DataError
from gnnrec.graph import merge as merging
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph
from gnnrec.graph.matrices import UserFeatures
from gnnrec.graph.merge import OF_USERS, AttributeMerge
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.options.resolve import build
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.bins import fit_knots, knot_labels, to_knots
from gnnrec.splits.parts import TEST, TRAIN
from gnnrec.splits.split import Split
from gnnrec.views import USER, reverse

SEED = 7
AGE = (USER, "age", "age")
NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=30)


def with_knots(knots: int, seed: int = SEED) -> Dataset:
    data = synthetic(seed, num_users=200)
    return replace(data, numeric=tuple(replace(one, bins=None, knots=knots) for one in data.numeric))


def split_of(knots: int = 3) -> Split:
    split = make_split(with_knots(knots), UnseenUsers(test=0.2, validation=0.2), SEED)
    split.open_test("a test of knots")
    return split


@given(NUMBERS, st.integers(0, 8))
def test_the_weighted_mean_at_the_knots_is_the_line_through_them(number: list[float], inner: int) -> None:
    knots = fit_knots(np.array(number), inner)
    assert list(knots) == sorted(set(knots))
    assert len(knot_labels(knots)) == len(set(knot_labels(knots))) == len(knots)
    knot, weight = to_knots(np.array(number), knots)
    values = np.random.default_rng(1).normal(size=len(knots))
    expected = []
    for one in number:  # a slow second way
        above = [place for place, at in enumerate(knots) if at > one]
        if not above or not above[0]:
            expected.append(values[0 if above else -1])
            continue
        low, high = knots[above[0] - 1], knots[above[0]]
        part = (one - low) / (high - low)
        expected.append((1 - part) * values[above[0] - 1] + part * values[above[0]])
    np.testing.assert_allclose((values[knot] * weight).sum(axis=1), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(weight.sum(axis=1), 1, rtol=1e-6)
    assert (weight >= 0).all()


def test_without_a_number_in_training_nobody_has_an_edge() -> None:
    assert fit_knots(np.empty(0), 3) == ()
    knot, weight = to_knots(np.array([1.0]), ())
    assert knot.shape == weight.shape == (0, 2)


def test_a_split_fits_knots_on_its_training_users_and_gives_each_number_its_edges() -> None:
    split = split_of()
    (own,) = split.dataset.numeric
    trained = torch.isin(own.node, split.train.users.index)
    shares = [0.01, 0.25, 0.5, 0.75, 0.99]
    assert split.train.bounds[USER, "age"] == pytest.approx(np.quantile(own.number[trained].numpy(), shares))
    assert split.train.bounds != split.full.bounds
    assert split.train.interpolated == (AGE,)
    for train, users in ((split.train, split.validation.users), (split.full, split.test.users)):
        at = np.array(train.bounds[USER, "age"])
        for batch in (train.users, users):
            edges = batch.relations[AGE]
            assert edges.weight is not None
            total = torch.zeros(len(batch)).index_add(0, edges.row, edges.weight)
            place = torch.zeros(len(batch)).index_add(0, edges.row, edges.weight * torch.tensor(at).float()[edges.node])
            for row, user in enumerate(batch.index.tolist()):
                number = own.number[own.node == user]
                assert total[row] == pytest.approx(float(len(number)))
                if len(number):
                    assert place[row] == pytest.approx(float(number[0].clamp(at[0], at[-1])), rel=1e-5)


def test_the_audit_passes_and_finds_knots_and_weights_of_other_users() -> None:
    split = split_of()
    audit(split, split.full)
    audit(split, split.train)
    audit_held_out(split, split.test, split.full, TEST)
    graph = build_graph(split.full)
    audit_graph(graph, split, split.full)
    everyone = fit_knots(split.dataset.numeric[0].number.numpy(), 3)
    leaky = replace(split.full, bounds={(USER, "age"): everyone})
    with pytest.raises(AuditError, match="bins of user attribute 'age' have bounds"):
        audit(split, leaky, final=True)
    edges = split.full.users.relations[AGE]
    assert edges.weight is not None
    other = replace(edges, weight=edges.weight.flip(0))
    users = replace(split.full.users, relations={**split.full.users.relations, AGE: other})
    with pytest.raises(AuditError, match="weights that are not those of the data"):
        audit(split, replace(split.full, users=users), final=True)
    graph[AGE].share = graph[AGE].share.flip(0)
    with pytest.raises(AuditError, match="messages along edges"):
        audit_graph(graph, split, split.full)


def test_messages_are_means_with_the_weights_and_a_newcomer_gets_the_same() -> None:
    train = split_of().full
    block = whole_graph(build_graph(train))
    counts = {USER: train.num_users, **{t: len(ids) for t, ids in train.ids.items()}}
    config = EncoderConfig(channels=4, layers=1, dropout=0.0)
    torch.manual_seed(SEED)
    into = reverse(AGE)
    encoder = Encoder(counts, [into, AGE], config, _layer(), (USER,), train.interpolated).eval()
    with torch.no_grad():
        found = encoder([block], outputs=(USER,))[USER]
        newcomers = encoder.attach(encoder.states(block), train.users)
        layer, table = encoder.steps[0]["age rev_age user"], encoder.table("age").weight  # type: ignore[index]
    edges = train.users.relations[AGE]
    assert found is not None and edges.weight is not None  # noqa: PT018
    torch.testing.assert_close(found, newcomers)
    for row in range(0, train.num_users, 7):
        own = edges.row == row
        mean = (edges.weight[own, None] * table[edges.node[own]]).sum(0)
        torch.testing.assert_close(found[row], (layer.lin_l(mean)).detach())


def _layer() -> type[torch.nn.Module]:
    from torch_geometric.nn import SAGEConv

    return SAGEConv


@pytest.mark.parametrize("edge_weights", ["ignore", "log"])
def test_rows_of_users_hold_the_weights(edge_weights: str) -> None:
    train = split_of().full
    rows = UserFeatures(train, attributes=["age"], edge_weights=edge_weights)(train.users).toarray()  # type: ignore[arg-type]
    at = np.array(train.bounds[USER, "age"])
    number = {int(u): float(x) for u, x in zip(*_numbers(train.users.index), strict=True)}
    for row, user in zip(rows, train.users.index.tolist(), strict=True):
        assert row.sum() == pytest.approx(float(user in number))
        if user in number:
            assert row @ at == pytest.approx(np.clip(number[user], at[0], at[-1]), rel=1e-5)


def _numbers(index: torch.Tensor) -> tuple[list[int], list[float]]:
    (own,) = with_knots(3).numeric
    kept = torch.isin(own.node, index)
    return own.node[kept].tolist(), own.number[kept].tolist()


def test_merged_columns_keep_the_weights_and_other_values_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST", 0)
    train = split_of().full
    merged = AttributeMerge(train).training(train)
    kind = (USER, OF_USERS, OF_USERS)
    assert merged.interpolated == (kind,)
    edges = merged.users.relations[kind]
    assert edges.weight is not None
    values = [len(train.users.relations[t]) for t in train.attribute_types if t != AGE]
    assert float(edges.weight.sum()) == pytest.approx(sum(values) + len(train.users.relations[AGE].row.unique()))


def test_an_effect_that_is_a_line_is_learned_from_few_users() -> None:
    """Of 60 training users between 18 and 80, older ones choose the later items; knots tell a new age between them."""
    random = np.random.default_rng(SEED)
    data = synthetic(SEED, num_users=120, num_items=40)
    age = random.uniform(18, 80, 120)
    item = np.clip((age[:, None] - 18) / 62 * 39 + random.normal(0, 3, (120, 12)), 0, 39).round().astype(int)
    pairs = np.unique(np.stack([np.repeat(np.arange(120), 12), item.ravel()]), axis=1)
    interactions = replace(data.interactions, user=torch.from_numpy(pairs[0]), item=torch.from_numpy(pairs[1]))
    interactions = replace(interactions, value=None, time=None)
    quality = {}
    for name, options in {"knots": {"knots": 6}, "bins": {"bins": 2}}.items():
        numeric = Numeric(USER, "age", torch.arange(120), torch.from_numpy(age), **options)
        one = replace(data, interactions=interactions, relations=(), numeric=(numeric,), ids=_only(data))
        split = make_split(one, UnseenUsers(test=0.25, validation=0.25), SEED)
        options = {"encoder": {"channels": 16, "layers": 1}, "pretrain": None, "finetune": {"epochs": 60}}
        model = build(GraphSAGE, {**options, "choose_on": 0})
        model.fit(split.full, None, SEED)
        split.open_test("a test of knots")
        scores = model.score(split.test.users)
        wanted = torch.zeros_like(scores)
        wanted[split.test.ground_truth.row, split.test.ground_truth.node] = 1
        quality[name] = float(wanted.gather(1, scores.topk(5).indices).mean())
    assert quality["knots"] > quality["bins"] + 0.1


def _only(data: Dataset) -> dict:  # type: ignore[type-arg]
    return {t: ids for t, ids in data.ids.items() if t in (USER, "item")}


def test_knots_are_of_users_alone() -> None:
    data = synthetic(SEED)
    numeric = Numeric("item", "price", torch.arange(3), torch.arange(3.0).double(), knots=2)
    with pytest.raises(DataError, match="attribute 'price': knots are of users; take bins or bounds"):
        replace(data, numeric=(numeric,))
    assert TRAIN == 0
