"""The pictures of errors, residuals, correlations and sweeps show what they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from caescope.errors import DataError, OptionError
from caescope.plots.latents import plot_correlation, plot_sweeps
from caescope.plots.reconstruction import plot_errors, plot_residuals


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def shown(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def color_at(ax, row: int, column: int) -> np.ndarray:
    image = ax.images[0]
    return image.to_rgba(image.get_array())[row, column, :3]


def texts(artists) -> list[str]:
    return [artist.get_text() for artist in artists]


def steps(ax) -> list[np.ndarray]:
    return [patch.get_data().values for patch in ax.patches]


# Errors


def test_errors_of_splits_of_any_size_compare():
    rng = np.random.default_rng(0)
    ax = plot_errors({"train": rng.random(5000), "test": rng.random(300)})
    heights = steps(ax)
    assert [values.sum() for values in heights] == pytest.approx([1, 1])
    assert all(len(values) == int(300**0.5) for values in heights)
    assert texts(ax.get_legend().get_texts())[1].startswith("test, 300 images, mean 0.5")


def test_a_few_large_errors_are_counted_in_the_last_step():
    errors = np.append(np.linspace(0, 0.1, 999), 5.0)
    ax = plot_errors({"test": errors})
    assert ax.get_xlim()[1] < 0.11
    assert steps(ax)[0].sum() == pytest.approx(1)
    assert ax.get_xlabel().endswith("to 5)")


def test_of_a_few_images_none_is_left_beyond():
    ax = plot_errors({"test": [0.1, 0.2, 0.9]})
    assert ax.get_xlim() == (0, 0.9)
    assert ax.get_xlabel() == "mean squared error of an image"
    assert ax.yaxis.get_major_formatter()(0.125, 0) == "12.5%"


@pytest.mark.parametrize("value", [0.0, 0.02])
def test_errors_that_are_all_the_same_are_drawn(value):
    (heights,) = steps(plot_errors({"test": [value] * 500}))
    assert sorted(heights)[-2:] == [0, 1]


# Residuals


def test_residuals_are_reconstruction_minus_original():
    images = np.array([0.5, 0.0, 1.0]).reshape(3, 1, 1, 1) * np.ones((3, 4, 5, 1))
    reconstructions = np.array([0.5, 0.25, 0.5]).reshape(3, 1, 1, 1) * np.ones((3, 4, 5, 1))
    axes = plot_residuals(images, reconstructions)
    assert axes.shape == (3, 3)
    for column, residual in enumerate([0, 0.25, -0.5]):
        np.testing.assert_allclose(shown(axes[0, column]), images[column, ..., 0])
        np.testing.assert_allclose(shown(axes[1, column]), reconstructions[column, ..., 0])
        np.testing.assert_allclose(shown(axes[2, column]), residual)
        assert axes[2, column].images[0].get_clim() == (-0.5, 0.5)
    none, more, less = (color_at(ax, 0, 0) for ax in axes[2])
    assert np.ptp(none) < 0.01  # grey
    assert more[0] > more[2]  # red
    assert less[0] < less[2]  # blue
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["original", "reconstruction", "residual"]


def test_residuals_of_colour_images_are_the_mean_over_channels():
    images, reconstructions = np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3))
    reconstructions[..., 0] = 0.6
    axes = plot_residuals(images, reconstructions)
    np.testing.assert_allclose(shown(axes[2, 0]), 0.2, rtol=1e-6)
    assert shown(axes[1, 0]).shape == (2, 2, 3)
    assert shown(plot_residuals(images, reconstructions, color=False)[1, 0]).shape == (2, 2)


def test_bytes_beside_floats_are_brought_to_one_scale():
    images = np.full((2, 3, 3, 3), 51, np.uint8)
    axes = plot_residuals(images, np.full((2, 3, 3, 3), 0.2, np.float32))
    for row, value in zip(axes, (0.2, 0.2, 0), strict=True):
        np.testing.assert_allclose(shown(row[1]), value, atol=1e-6)


def test_groups_share_a_title_over_their_first_column_and_stand_apart():
    images = np.zeros((5, 4, 4, 1))
    axes = plot_residuals(images, images, ["best", "best", "worst", "worst", "worst"], list("abcde"))
    assert [ax.get_title(loc="left") for ax in axes[0]] == ["best", "", "worst", "", ""]
    assert [ax.get_xlabel() for ax in axes[2]] == list("abcde")
    axes[0, 0].figure.draw_without_rendering()
    left = [ax.get_position().x0 for ax in axes[0]]
    assert left[2] - left[1] > 1.1 * (left[1] - left[0])
    assert [ax.get_title(loc="left") for ax in plot_residuals(images, images, [0, 0, 1, 1, 2])[0]] == [
        *("0", "", "1", "", "2")
    ]


def test_a_perfect_reconstruction_is_grey_all_over():
    images = np.random.default_rng(0).random((2, 6, 6, 1))
    axes = plot_residuals(images, images)
    assert not shown(axes[2, 0]).any()
    assert np.ptp(color_at(axes[2, 0], 0, 0)) < 0.01


# Correlations


@pytest.mark.parametrize("n", [1, 2, 12, 13, 512])
def test_a_correlation_is_drawn_as_it_is_around_a_pale_zero(n):
    matrix = np.corrcoef(np.random.default_rng(n).normal(size=(n, 600))).reshape(n, n)
    ax = plot_correlation(matrix)
    np.testing.assert_allclose(shown(ax), matrix)
    assert ax.images[0].get_clim() == (-1, 1)
    assert len(ax.texts) == (n * n if n <= 12 else 0)
    assert len(ax.get_xticks()) <= 20
    names = texts(ax.get_xticklabels())
    assert names == texts(ax.get_yticklabels())
    assert [int(name[1:]) for name in names] == ax.get_xticks().tolist()


def test_correlations_of_opposite_sign_have_opposite_colours():
    ax = plot_correlation([[1, -0.8], [-0.8, 1]])
    above, below = color_at(ax, 0, 0), color_at(ax, 0, 1)
    assert above[0] > above[2]
    assert below[0] < below[2]
    assert texts(ax.texts) == ["1.00", "−0.80", "−0.80", "1.00"]


# Sweeps


@pytest.mark.parametrize("channels", [1, 3])
def test_each_row_of_sweeps_is_a_variable_from_low_to_high(channels):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4, 1, 1, 1) * 20
    ax = plot_sweeps(np.broadcast_to(values, (3, 4, 10, 8, channels)))
    sheet = shown(ax)
    assert sheet.shape[:2] == (3 * 10 + 2, 4 * 8 + 3)
    for row, column in np.ndindex(3, 4):
        cell = sheet[row * 11 : row * 11 + 10, column * 9 : column * 9 + 8]
        np.testing.assert_allclose(cell, values[row, column].item() / 255, rtol=1e-6)
    assert texts(ax.get_yticklabels()) == ["z000", "z001", "z002"]
    assert dict(zip(ax.get_xticks(), texts(ax.get_xticklabels()), strict=True)) == {0: "low", 3: "high"}
    np.testing.assert_allclose(ax.images[0].get_extent(), (-0.5, 3.5, 2.5, -0.5))
    assert ax.get_aspect() == 10 / 8


def test_grey_sweeps_need_no_channel_axis_and_rows_take_other_names():
    ax = plot_sweeps(np.zeros((2, 3, 5, 5)), ["z007", "$x$"])
    assert texts(ax.get_yticklabels()) == ["z007", r"\$x\$"]


def test_pictures_are_drawn_where_they_are_told():
    fig, axes = plt.subplots(1, 3)
    assert plot_errors({"test": [0.1, 0.2]}, ax=axes[0]) is axes[0]
    assert plot_correlation(np.eye(3), ax=axes[1]) is axes[1]
    assert plot_sweeps(np.zeros((2, 3, 4, 4, 1)), ax=axes[2]) is axes[2]
    fig.draw_without_rendering()


IMAGES = np.zeros((3, 4, 4, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_errors({}), DataError, "dict of split.*Received nothing"),
        (lambda: plot_errors([0.1]), DataError, "dict of split.*Received a list"),
        (lambda: plot_errors({"test": []}), DataError, "errors of test must be a non-empty vector"),
        (lambda: plot_errors({"test": [-1]}), DataError, "errors of test must be finite and at least 0"),
        (lambda: plot_errors({"test": [np.nan]}), DataError, "finite and at least 0"),
        (lambda: plot_residuals(IMAGES, IMAGES[:2]), DataError, r"same shape.*\(3, 4, 4, 1\) and \(2, 4"),
        (lambda: plot_residuals(*2 * [np.zeros((41, 2, 2))]), DataError, "at most 40 images"),
        (lambda: plot_residuals(IMAGES, IMAGES + 2), DataError, "Pixels of reconstructions must lie in"),
        (lambda: plot_residuals(IMAGES, IMAGES, ["best"]), DataError, "1 labels and 3 images"),
        (lambda: plot_residuals(IMAGES, IMAGES, names="ab"), DataError, "2 labels and 3 images"),
        (lambda: plot_residuals(IMAGES, IMAGES, size=0), OptionError, "size=0"),
        (lambda: plot_correlation([[1, 0]]), DataError, r"a row and a column.*\(1, 2\)"),
        (lambda: plot_correlation(np.zeros((0, 0))), DataError, "a row and a column for each"),
        (lambda: plot_correlation([[1, 2], [2, 1]]), DataError, "correlations, from -1 to 1"),
        (lambda: plot_correlation([[np.nan]]), DataError, "correlations, from -1 to 1"),
        (lambda: plot_correlation([["a"]]), DataError, "matrix must be numbers"),
        (lambda: plot_sweeps(IMAGES[0]), DataError, "Sweeps must have shape"),
        (lambda: plot_sweeps(np.zeros((2, 1, 4, 4, 1))), DataError, "at least 2 steps"),
        (lambda: plot_sweeps(np.zeros((257, 2, 1, 1, 1))), DataError, "1 to 256 variables"),
        (lambda: plot_sweeps(np.zeros((2, 2, 4, 4, 2))), DataError, "1 channel"),
        (lambda: plot_sweeps(np.zeros((2, 2, 4, 4, 1)), ["a"]), DataError, "1 labels and 2 images"),
        (lambda: plot_sweeps(np.zeros((2, 2, 4, 4, 1)), size="a"), OptionError, "size='a'"),
    ],
)
def test_input_that_cannot_be_drawn_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
