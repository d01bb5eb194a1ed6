"""Figures: what is drawn is what was given, files are the same each time, and what cannot be drawn says so."""

import networkx as nx
import numpy as np
import pytest

from gnnrec.errors import ConfigError
from gnnrec.experiment import plots

LINES = {"graphsage": {0: (0.4, 0.3, 0.5), 1: (0.5, 0.4, 0.6), 10: (0.6, 0.5, 0.7)}, "ease": {1: (0.3, 0.2, 0.4)}}


def test_curves_hold_the_means_and_intervals():
    figure = plots.curves(LINES, "first choices", "ndcg@10")
    (axes,) = figure.axes
    graphsage, ease = axes.lines
    assert graphsage.get_xydata().tolist() == [[0, 0.4], [1, 0.5], [2, 0.6]]  # every number of shots has the same room
    assert ease.get_xydata().tolist() == [[1, 0.3]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "10"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["graphsage", "ease"]
    figure.draw_without_rendering()
    beside = legend.get_window_extent().x0
    assert axes.get_window_extent().x1 < beside < legend.get_window_extent().x1 <= figure.bbox.x1
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.3, 0.7)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("first choices", "ndcg@10")


def test_a_logarithmic_axis():
    shares = {"graphsage": {1.0: (0.2, 0.1, 0.3), 10.0: (0.3, 0.2, 0.4), 100.0: (0.4, 0.3, 0.5)}}
    (axes,) = plots.curves(shares, "%", "ndcg@10", logarithmic=True).axes
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_xdata().tolist() == [1, 10, 100]


def test_gains_have_a_panel_for_each_grouping():
    gains = {"graphsage": (0.01, -0.01, 0.04), "other": (0.02, 0.0, 0.03)}
    few = {"graphsage": (0.03, 0.01, 0.05)}
    figure = plots.gains({"activity": [("3-19", 151, gains), ("20-40", 137, few)], "age": [("any", 9, gains)]}, "gain")
    activity, age = figure.axes
    assert [label.get_text() for label in activity.get_xticklabels()] == ["3-19\n(151)", "20-40\n(137)"]
    graphsage, other = activity.containers
    assert np.allclose(graphsage.lines[0].get_ydata(), [0.01, 0.03])
    (bars,) = graphsage.lines[2]
    assert np.allclose(bars.get_segments()[0][:, 1], [-0.01, 0.04])
    assert len(other.lines[0].get_ydata()) == 1
    assert (activity.get_ylabel(), age.get_ylabel()) == ("gain", "")


def test_one_panel():
    assert len(plots.gains({"age": [("any", 9, {"a": (0.1, 0.0, 0.2)})]}, "gain").axes) == 1


def test_learning_curves():
    (axes,) = plots.learning_curves({"a": [(2, 0.3), (4, 0.35)]}, "ndcg@10").axes
    assert axes.lines[0].get_xydata().tolist() == [[2, 0.3], [4, 0.35]]


@pytest.fixture
def graph():
    graph = nx.Graph()
    for layer, names in enumerate((["me"], ["F", "artist"], ["user 1"], ["Fargo"])):
        graph.add_nodes_from(names, layer=layer)
    graph.add_weighted_edges_from([("me", "F", 1), ("me", "artist", 1), ("F", "user 1", 1), ("user 1", "Fargo", 2)])
    graph.nodes["Fargo"]["label"] = "Fargo (1996)"
    return graph


def test_paths_go_from_left_to_right(graph):
    (axes,) = plots.paths(graph, "me", ["Fargo"]).axes
    at = {text.get_text(): text.xy for text in axes.texts}
    assert set(at) == {"me", "F", "artist", "user 1", "Fargo (1996)"}
    assert at["me"][0] < at["F"][0] == at["artist"][0] < at["user 1"][0] < at["Fargo (1996)"][0]
    assert at["F"][1] > at["artist"][1]  # in the order of the nodes, whatever the hash seed


def test_an_item_that_cannot_be_reached(graph):
    graph.remove_edge("user 1", "Fargo")
    with pytest.raises(ConfigError, match="no way from me to Fargo"):
        plots.paths(graph, "me", ["Fargo"])


def test_files_are_the_same_each_time(tmp_path):
    first, second = (plots.save(plots.curves(LINES, "x", "y"), tmp_path / where, "figure") for where in "ab")
    assert [path.name for path in first] == ["figure.pdf", "figure.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
