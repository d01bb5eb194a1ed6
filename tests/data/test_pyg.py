"""HeteroData as a data set: by hand, and through a split and an export and back."""

import pytest
import torch
from torch_geometric.data import HeteroData

from gnnrec import from_pyg
from gnnrec.errors import DataError
from gnnrec.views import ITEM, USER


def shop() -> HeteroData:
    """Three customers, two of whom know each other, four products with features and brands."""
    graph = HeteroData()
    graph["customer"].num_nodes = 3
    graph["customer"].ids = ["ann", "bob", "cy"]
    graph["product"].x = torch.arange(8.0).reshape(4, 2)
    graph["brand"].num_nodes = 2
    graph["city"].num_nodes = 2
    graph["customer", "buys", "product"].edge_index = torch.tensor([[0, 0, 1, 2], [0, 3, 1, 2]])
    graph["customer", "buys", "product"].rating = torch.tensor([5, 1, 3, 4])
    graph["customer", "buys", "product"].timestamp = torch.tensor([10, 20, 30, 40])
    graph["product", "rev_buys", "customer"].edge_index = torch.tensor([[2, 0, 3, 1], [2, 0, 0, 1]])
    graph["product", "made_by", "brand"].edge_index = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]])
    graph["city", "rev_lives_in", "customer"].edge_index = torch.tensor([[1, 0], [0, 2]])
    graph["customer", "knows", "customer"].edge_index = torch.tensor([[0, 1], [1, 1]])
    graph["customer", "knows", "customer"].edge_attr = torch.tensor([[0.5], [0.9]])
    return graph


def test_by_hand():
    data = from_pyg(shop(), ("customer", "buys", "product"), name="shop")
    assert list(data.ids[USER]) == ["ann", "bob", "cy"]
    assert list(data.ids[ITEM]) == ["0", "1", "2", "3"]
    assert data.interactions.value.tolist() == [5, 1, 3, 4]
    assert data.interactions.time.tolist() == [10, 20, 30, 40]
    found = {relation.type: relation for relation in data.relations}
    assert found.keys() == {(ITEM, "made_by", "brand"), (USER, "lives_in", "city"), (USER, "knows", USER)}
    assert found[USER, "lives_in", "city"].edge_index.tolist() == [[0, 2], [1, 0]]
    knows = found[USER, "knows", USER]  # both directions, and nobody knows himself
    assert knows.edge_index.tolist() == [[0, 1], [1, 0]]
    assert knows.weight.tolist() == [0.5, 0.5]
    (features,) = data.features
    assert features.node_type == ITEM
    assert torch.equal(features.vector, torch.arange(8.0).reshape(4, 2))


def test_features_describe_items_and_users_and_those_of_others_are_left_out_and_said():
    graph = shop()
    graph["customer"].x = torch.tensor([[1.0], [2], [3]])
    other = next(t for t in graph.node_types if t not in ("customer", "product"))
    graph[other].x = torch.ones(graph[other].num_nodes, 1)
    with pytest.warns(UserWarning, match=f"x of '{other}' is left out: users and items alone have features"):
        data = from_pyg(graph, ("customer", "buys", "product"))
    assert [one.node_type for one in data.features] == [ITEM]
    (users,) = data.user_features
    assert users.vector.tolist() == [[1], [2], [3]]


def wrong_type(graph: HeteroData) -> None:
    del graph["customer", "buys", "product"]


def wrong_number(graph: HeteroData) -> None:
    graph["customer", "buys", "product"].edge_weight = torch.ones(4, 2)


def twice(graph: HeteroData) -> None:
    graph["customer", "buys", "product"].edge_index = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2]])


def taken(graph: HeteroData) -> None:
    graph["item"].num_nodes = 1


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (wrong_type, r"shop: there are no edges \('customer', 'buys', 'product'\); there are .*knows"),
        (wrong_number, r"shop: buys: edge_weight has shape \(4, 2\); an edge has one number"),
        (twice, r"shop: interactions: 1 edges are repeated, e.g. user ann, item 0"),
        (taken, r"shop: the node type 'item' is not that of .*; rename it"),
    ],
)
def test_what_cannot_be_read_is_one_line(spoil, line):
    graph = shop()
    spoil(graph)
    with pytest.raises(DataError, match=line) as raised:
        from_pyg(graph, ("customer", "buys", "product"), name="shop")
    assert "\n" not in str(raised.value)
