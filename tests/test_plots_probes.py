"""Dots are where the scores are, named and in order; looks are judged by eye."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from caescope.errors import DataError
from caescope.plots.probes import plot_confounders, plot_probes

SCORES = {
    "logistic_ovr": {"latents": (0.87, 0.86, 0.88), "PCA": (0.85, 0.84, 0.86), "histogram": (0.2, 0.1, 0.3)},
    "knn": {"latents": (0.96, 0.95, 0.97), "histogram": (0.3, 0.2, 0.4)},
}
COLUMNS = {
    "noise": (0.51, 0.5, 0.48, 0.54),
    "slide": (0.8, 0.1, 0.78, 0.82),
    "brightness": (-0.1, 0.0, -0.2, 0.05),
    "scanner": (0.9, 0.5, 0.88, 0.92),
}


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def dots(ax) -> dict[str, list[tuple[float, float]]]:
    """Return where the dots of each entry of the legend are."""
    return {line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in ax.lines}


def intervals(ax) -> set[tuple[float, float, float]]:
    """Return low, high and row of every horizontal line."""
    segments = [segment for collection in ax.collections for segment in collection.get_segments()]
    return {(segment[0][0], segment[1][0], segment[0][1]) for segment in segments}


def names(axis_labels) -> list[str]:
    return [text.get_text() for text in axis_labels]


def test_each_probe_has_a_dot_and_an_interval_for_each_set():
    ax = plot_probes(SCORES, chance=0.1)
    found = dots(ax)
    assert found["latents"] == [(0.87, 0), (0.96, 4)]
    assert found["PCA"] == [(0.85, 1)]
    assert found["histogram"] == [(0.2, 2), (0.3, 6)]
    assert found["chance"] == [(0.1, 0), (0.1, 1)]  # from bottom to top
    assert {(0.86, 0.88, 0), (0.95, 0.97, 4), (0.1, 0.3, 2)} <= intervals(ax)
    assert names(ax.get_legend().get_texts()) == ["latents", "PCA", "histogram", "chance"]
    assert "0.870 [0.860, 0.880]" in names(ax.texts)


def test_probes_are_named_in_their_order_from_the_top():
    ax = plot_probes(SCORES)
    assert names(ax.get_yticklabels()) == ["logistic_ovr", "knn"]
    assert ax.get_yticks().tolist() == [1, 5]
    bottom, top = ax.get_ylim()
    assert bottom > 6 > 0 > top
    assert "chance" not in dots(ax)


def test_probes_without_scores_are_left_out():
    ax = plot_probes({"knn": {}, "logistic_ovr": {"latents": (1, 1, 1)}})
    assert names(ax.get_yticklabels()) == ["logistic_ovr"]


def test_confounders_are_sorted_by_how_far_they_are_above_chance():
    ax = plot_confounders(COLUMNS)
    assert names(ax.get_yticklabels()) == ["scanner", "slide", "noise", "brightness"]
    found = dots(ax)
    assert found["score"] == [(0.9, 0), (0.8, 1)]
    assert found["interval reaches chance"] == [(0.51, 2), (-0.1, 3)]
    assert found["chance"] == [(0.5, 0), (0.1, 1), (0.5, 2), (0.0, 3)]
    assert {(0.88, 0.92, 0), (-0.2, 0.05, 3)} <= intervals(ax)
    assert "−0.100 [−0.200, 0.050]" in names(ax.texts)
    assert ax.get_xlim()[0] < -0.2


def test_a_legend_names_only_what_is_there():
    assert names(plot_confounders({"a": (0.9, 0.5, 0.8, 1)}).get_legend().get_texts()) == ["score", "chance"]


@pytest.mark.parametrize("plot", [plot_probes, plot_confounders])
def test_names_from_outside_are_drawn_as_they_are(plot):
    nasty = ["$\\frac{1}$", "x" * 500, "two\nlines", "_hidden", "", "<script>"]
    if plot is plot_probes:
        ax = plot({name: {name: (0.5, 0.4, 0.6)} for name in nasty})
        assert len(ax.get_legend().get_texts()) == len(nasty)
    else:
        ax = plot(dict.fromkeys(nasty, (0.5, 0.1, 0.4, 0.6)))
    ax.figure.draw_without_rendering()
    drawn = names(ax.get_yticklabels())
    assert len(drawn) == len(nasty)
    assert max(map(len, drawn)) <= 32
    assert "\\$\\frac{1}\\$" in drawn


def test_an_axes_of_ones_own_is_used():
    _, ax = plt.subplots()
    assert plot_probes(SCORES, ax=ax) is ax
    assert plot_confounders(COLUMNS, ax=plt.subplots()[1]) is not ax


@pytest.mark.parametrize(
    ("scores", "received"),
    [
        ({}, "none"),
        ({"knn": {}}, "none"),
        ({"knn": {"latents": (0.5, 0.4)}}, r"\(0\.5, 0\.4\)"),
        ({"knn": {"latents": (0.5, 0.4, np.nan)}}, "NaN or infinity"),
        ({"knn": {"latents": 0.5}}, "0\\.5"),
    ],
)
def test_scores_that_cannot_be_drawn_are_refused(scores, received):
    with pytest.raises(DataError, match=rf"scores must be \(value, low, high\).*Received {received}"):
        plot_probes(scores)


def test_columns_that_cannot_be_drawn_are_refused():
    with pytest.raises(DataError, match=r"scores must be \(score, chance, low, high\).*Received none"):
        plot_confounders({})
    with pytest.raises(DataError, match=r"Received NaN or infinity"):
        plot_confounders({"slide": (0.5, 0.1, 0.4, np.inf)})
    with pytest.raises(DataError, match="scores must be numbers"):
        plot_confounders({"slide": ("a", "b", "c", "d")})
