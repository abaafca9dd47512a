"""A tile is coloured where it lies on the slide, and as on the map."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib import colormaps
from matplotlib.colors import to_hex

from caescope.errors import DataError, OptionError
from caescope.plots import plot_map
from caescope.plots.overlays import plot_overlay
from caescope.plots.style import palette


def white(height: int = 6, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def shown(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def legend(ax) -> dict[str, str]:
    box = ax.get_legend()
    return {
        t.get_text(): to_hex(line.get_color())
        for t, line in zip(box.get_texts(), box.get_lines(), strict=True)
    }


def bytes_of(color) -> np.ndarray:
    return np.rint(255 * np.asarray(color)).astype(np.uint8)


def test_tiles_are_coloured_where_they_lie_and_nothing_else_is():
    ax = plot_overlay(white(), [20, 40], [0, 20], 20, [0, 1], scale=10, alpha=1)
    expected = white()
    expected[0:2, 2:4] = bytes_of(palette(2)[0])
    expected[2:4, 4:6] = bytes_of(palette(2)[1])
    np.testing.assert_array_equal(shown(ax), expected)


def test_opacity_mixes_the_tile_with_the_brightness_of_the_slide():
    pink = np.full(
        (2, 2, 3), [200, 100, 150], np.uint8
    )  # as bright as 0.299 · 200 + 0.587 · 100 + 0.114 · 150
    ax = plot_overlay(pink, [0], [0], 1, ["a"], scale=1, alpha=0.25)
    np.testing.assert_array_equal(
        shown(ax)[0, 0], np.rint(0.75 * 135.6 + 0.25 * 255 * np.array(palette(1)[0]))
    )
    np.testing.assert_array_equal(shown(ax)[1, 1], [200, 100, 150])


@given(arrays(np.int64, 12, elements=st.integers(0, 3)), st.floats(2.3, 9.7))
@settings(max_examples=20, deadline=None)
def test_neighbouring_tiles_leave_no_gap_at_any_scale(values, scale):
    rows, columns = np.divmod(np.arange(12), 4)
    ax = plot_overlay(np.zeros((9, 12, 3), np.uint8), 16 * columns, 16 * rows, 16, values, scale, alpha=1)
    height, width = (min(most, round(16 * n / scale)) for n, most in ((3, 9), (4, 12)))
    assert shown(ax)[:height, :width].any(axis=2).all()
    assert not shown(ax)[height:].any()
    ax.figure.clear()


def test_a_tile_below_one_pixel_is_still_seen_and_one_beyond_the_edge_does_no_harm():
    ax = plot_overlay(white(), [11, -500, 70], [11, 0, 50], [1, 10, 300], [0, 0, 0], scale=10, alpha=1)
    coloured = (shown(ax) != 255).any(axis=2)
    assert np.argwhere(coloured).tolist() == [[1, 1], [5, 7]]


def test_colours_are_those_of_the_map_also_on_a_slide_that_lacks_some():
    every = np.array([2, 0, 7, 7, 1])
    on_map = legend(plot_map(np.random.default_rng(0).normal(size=(5, 2)), every))
    ax = plot_overlay(white(), [0, 20], [0, 0], 20, [7, 1], 10, categories=np.unique(every), name="cluster")
    assert legend(ax) == {name: on_map[name] for name in ("1", "7")}
    assert ax.get_legend().get_title().get_text() == "cluster"


def test_numbers_get_a_colour_bar_and_the_highest_lies_on_top():
    ax = plot_overlay(
        white(), [0, 0, 40], [0, 0, 0], 20, [3.0, 1.0, 2.0], 10, kind="number", name="error", alpha=1
    )
    np.testing.assert_array_equal(shown(ax)[0, 0], bytes_of(colormaps["viridis"](1.0)[:3]))
    np.testing.assert_array_equal(shown(ax)[0, 4], bytes_of(colormaps["viridis"](0.5)[:3]))
    assert ax.figure.axes[1].get_ylabel() == "error"


@pytest.mark.parametrize(
    ("values", "kind", "remark"),
    [
        ([np.nan, 1.0], "number", "not coloured: 1 without a number"),
        (np.ma.array([5, 1], mask=[True, False]), "number", "not coloured: 1 without a number"),
        (np.ma.array(["?", "b"], mask=[True, False]), "category", "not coloured: 1 without a label"),
        (np.array([None, "b"], object), "category", "not coloured: 1 without a label"),
        ([np.nan, 1.0], "category", "not coloured: 1 without a label"),
    ],
)
def test_tiles_of_which_nothing_is_known_are_left_as_they_are(values, kind, remark):
    ax = plot_overlay(white(), [0, 40], [0, 0], 20, values, 10, kind=kind, name="label", alpha=1)
    np.testing.assert_array_equal(shown(ax)[0, 0], [255] * 3)
    assert (shown(ax)[0, 4] != 255).any()
    assert ax.get_xlabel() == remark


def test_nothing_known_at_all_is_drawn_without_a_bar():
    ax = plot_overlay(white(), [0], [0], 20, [np.nan], 10, kind="number")
    assert len(ax.figure.axes) == 1
    nothing = np.ma.array([1], mask=[True])
    assert (
        plot_overlay(white(), [0], [0], 20, nothing, 10).get_xlabel() == "not coloured: 1 without a category"
    )


def test_a_legend_ends_where_colours_repeat():
    ax = plot_overlay(white(), np.arange(25), np.zeros(25), 1, np.arange(25), 10)
    assert len(ax.get_legend().get_texts()) == 20
    assert ax.get_xlabel() == "5 more in repeated colours"
    ax.figure.canvas.draw()  # warns where the legend leaves no room for the picture


@pytest.mark.parametrize("name", ["$\\frac{1}$", "_hidden", "two\nlines", "x" * 500, ""])
def test_odd_names_are_drawn_as_text(name):
    ax = plot_overlay(white(), [0], [0], 20, [name], 10, name=name, title=name)
    ax.figure.canvas.draw()
    assert len(ax.get_legend().get_texts()[0].get_text()) <= 30


def test_a_hundred_thousand_tiles_are_quick():
    rows, columns = np.divmod(np.arange(100_000), 400)
    thumbnail = white(1000, 1600)
    start = time.perf_counter()
    plot_overlay(thumbnail, 256 * columns, 256 * rows, 256, rows % 8, 64.0)
    assert time.perf_counter() - start < 5


GOOD = {"thumbnail": white(), "x": [0, 20], "y": [0, 0], "size": 20, "values": [0, 1], "scale": 10}


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (
            {"thumbnail": np.zeros((4, 4))},
            DataError,
            "float64 of shape (4, 4). Give the slide as an RGB image.",
        ),
        ({"thumbnail": np.zeros((4, 4, 3))}, DataError, "thumbnail must be uint8"),
        ({"x": [0]}, DataError, "1, 2 and 1 entries"),
        ({"x": [0, np.nan]}, DataError, "x must be finite"),
        ({"size": [1, -1]}, DataError, "size must be finite and at least 0"),
        ({"values": [0]}, DataError, "shape (1,) for 2 tiles"),
        ({"values": ["a", "b"], "kind": "number"}, DataError, "values must be numbers"),
        ({"categories": [0, 2]}, DataError, "categories must name every value. Received '1' without one."),
        ({"scale": 0}, OptionError, "scale must be a positive number. Received scale=0."),
        ({"scale": float("nan")}, OptionError, "scale must be a positive number"),
        ({"alpha": 1.5}, OptionError, "alpha must be above 0 and at most 1"),
        ({"kind": "colour"}, OptionError, "kind must be one of category, number. Received kind='colour'."),
    ],
)
def test_bad_input_is_said(bad, error, message):
    with pytest.raises(error) as caught:
        plot_overlay(**{**GOOD, **bad})
    assert message in str(caught.value)
