"""What the pictures of clusters' quality show equals what they were given; looks are judged by eye."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from caescope.errors import DataError, OptionError
from caescope.plots.quality import plot_clusterings, plot_silhouette_curve, plot_stability
from caescope.plots.style import MAIN, SECOND, quiet_glyphs

ROW = {"method": "kmeans", "on": "map", "k": 20}
NASTY = ["a_$x$^2", "<script>", "two\nlines", "x" * 300, "", "猫"]


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def texts(artists) -> list[str]:
    return [artist.get_text() for artist in artists]


# Silhouettes


def test_the_curve_is_drawn_and_the_chosen_number_marked():
    ax = plot_silhouette_curve([2, 3, 5], [0.2, 0.55, -0.1], 3)
    _, line, dot = ax.lines
    assert line.get_xydata().tolist() == [[2, 0.2], [3, 0.55], [5, -0.1]]
    assert dot.get_xydata().tolist() == [[3, 0.55]]
    assert texts(ax.texts) == ["K = 3: 0.550"]


@pytest.mark.parametrize("values", [[0.41, 0.42, 0.4], [-0.1, -0.2, -0.05], [0, 0, 0]])
def test_zero_is_always_in_the_picture(values):
    low, high = plot_silhouette_curve([2, 3, 4], values, 3).get_ylim()
    assert low <= 0 < high
    assert low <= min(values)


def test_a_curve_of_one_number_is_drawn():
    assert plot_silhouette_curve([2], [0.3], 2).lines[1].get_xydata().tolist() == [[2, 0.3]]


def test_curves_that_do_not_fit_are_refused():
    with pytest.raises(OptionError, match=r"chosen must be one of ks. Received chosen=7"):
        plot_silhouette_curve([2, 3], [0.1, 0.2], 7)
    with pytest.raises(DataError, match=r"ks and silhouettes must be as many. Received 2 and 1"):
        plot_silhouette_curve([2, 3], [0.1], 2)
    with pytest.raises(DataError, match="silhouettes must be between -1 and 1"):
        plot_silhouette_curve([2, 3], [0.1, 1.5], 2)
    with pytest.raises(DataError, match="ks must be a non-empty vector"):
        plot_silhouette_curve([], [], 2)


# Stability


def test_bars_are_sorted_and_unstable_ones_red():
    ax = plot_stability({0: 0.59, "b": 0.6, 2: 1.0})
    assert [bar.get_height() for bar in ax.patches] == [1.0, 0.6, 0.59]
    assert texts(ax.get_xticklabels()) == ["2", "b", "0"]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [MAIN, MAIN, SECOND]
    assert ax.lines[0].get_ydata()[0] == 0.6


def test_many_clusters_are_drawn_without_numbers():
    ax = plot_stability({i: i / 400 for i in range(400)})
    assert len(ax.patches) == 400
    assert texts(ax.texts) == ["below:\nunstable"]


def test_what_is_not_a_share_is_refused():
    with pytest.raises(
        DataError, match=r"jaccard and halves must be dicts of cluster to Jaccard index. Received a list"
    ):
        plot_stability([0.5])
    with pytest.raises(DataError, match="Jaccard indices must be between 0 and 1"):
        plot_stability({0: 1.5})
    with pytest.raises(DataError, match="Jaccard indices must be a non-empty vector"):
        plot_stability({})
    with pytest.raises(DataError, match="must be of the same clusters"):
        plot_stability({0: 0.5}, {1: 0.5})


def test_a_cluster_is_red_where_resamples_or_halves_lose_it():
    ax = plot_stability({0: 0.9, 1: 0.9, 2: 0.4}, {0: 0.5, 1: 0.8, 2: 0.9})
    assert texts(ax.get_xticklabels()) == ["1", "0", "2"]
    assert [bar.get_height() for bar in ax.patches] == [0.9, 0.9, 0.4]
    fine, halved, lost = (bar.get_facecolor() for bar in ax.patches)
    assert fine != halved == lost
    assert ax.lines[-1].get_ydata().tolist() == [0.8, 0.5, 0.9]


# Clusterings


def values_drawn(ax) -> list[str]:
    return [text for text in texts(ax.texts) if text[-1].isdigit() or text == "–"]


def test_each_value_is_a_bar_as_long_as_it_is():
    rows = [ROW | {"silhouette": 0.4, "nmi": 0.7}, ROW | {"on": "latents", "silhouette": -0.25, "nmi": 1.0}]
    ax = plot_clusterings(rows)
    bars = [bar for bar in ax.patches if bar.get_alpha() is None]  # the others are the tracks
    assert [bar.get_width() for bar in bars] == pytest.approx([0.4, -0.25, 0.7, 1.0])
    assert values_drawn(ax) == ["0.40", "−0.25", "0.70", "1.00"]
    colors = [bar.get_facecolor() for bar in bars]
    assert colors[0] == colors[2] != colors[1] == colors[3]


def test_rows_are_named_and_measures_nobody_knows_left_out():
    ax = plot_clusterings(
        [ROW | {"noise": 0.0}, {"method": "own", "on": "map", "k": 3, "noise": 0.5, "x": "?"}]
    )
    assert texts(ax.get_yticklabels()) == ["KMeans, map, K = 20", "own, map, K = 3"]
    assert texts(ax.texts) == ["in no cluster", "0.00", "0.50"]


def test_a_value_that_is_missing_is_a_dash():
    ax = plot_clusterings([ROW | {"silhouette": 0.4}, ROW | {"on": "latents", "k": 0}])
    assert values_drawn(ax) == ["0.40", "–"]


def test_rows_alone_are_drawn():
    assert plot_clusterings([ROW]).patches[:] == []


@pytest.mark.parametrize("rows", [[], [{"method": "kmeans"}], [ROW, {}]])
def test_rows_without_a_name_are_refused(rows):
    with pytest.raises(DataError, match="rows must be dicts with method, on and k"):
        plot_clusterings(rows)


@pytest.mark.parametrize(("measure", "value"), [("nmi", -0.1), ("silhouette", 1.2), ("noise", float("nan"))])
def test_values_out_of_range_are_refused(measure, value):
    with pytest.raises(DataError, match=f"{measure} must be between"):
        plot_clusterings([ROW | {measure: value}])


# All


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot_silhouette_curve([2, 3], [0.1, 0.2], 2, ax=ax),
        lambda ax: plot_stability(dict.fromkeys(NASTY, 0.5), ax=ax),
        lambda ax: plot_clusterings([ROW | {"method": m, "on": m, "k": m, "nmi": 0.5} for m in NASTY], ax=ax),
    ],
)
def test_pictures_go_where_they_are_told_whatever_they_show(draw):
    before = dict(plt.rcParams)
    figure, ax = plt.subplots()
    assert draw(ax) is ax
    with quiet_glyphs():
        figure.canvas.draw()
    assert dict(plt.rcParams) == before
