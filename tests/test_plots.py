"""What the pictures show equals what they were given, whatever the labels are; looks are judged by eye."""

import inspect
import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Annotation
from PIL import Image

from caescope import plots
from caescope.errors import DataError, OptionError, OutputError
from caescope.plots.images import _choose
from caescope.plots.style import PALETTE, caption, palette, thinned

NASTY = [
    "$\\frac{1}$",
    "a_b^2",
    "<script>alert(1)</script>",
    "two\nlines",
    "x" * 500,
    "",
    "_hidden",
    "猫 🐈",
    "\x00\ud800",
]


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def numbered(n: int, channels: int = 1) -> np.ndarray:
    """Images that carry their index: every pixel of image i is i."""
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, channels)).copy()


def shown(ax) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def texts(artists) -> list[str]:
    return [artist.get_text() for artist in artists]


def names_on(ax) -> list[str]:
    return [text.get_text() for text in ax.texts if isinstance(text, Annotation) and text.get_text()]


# Samples and pairs


def test_the_tutorial_can_pass_arguments_by_position():
    expected = ["images", "n_rows", "n_cols", "size", "color", "shuffle", "labels", "random_state"]
    assert list(inspect.signature(plots.plot_sample_imgs).parameters) == expected


def test_each_cell_shows_the_image_that_its_title_names():
    axes = plots.plot_sample_imgs(numbered(100), 2, 6, size=1, random_state=3)
    assert axes.shape == (2, 6)
    drawn = [int(ax.get_title()) for ax in axes.flat]
    for ax, i in zip(axes.flat, drawn, strict=True):
        np.testing.assert_allclose(shown(ax), i / 255, rtol=1e-6)
    assert len(set(drawn)) == 12


def test_labels_become_titles_of_the_right_images():
    labels = np.arange(50) * 7
    axes = plots.plot_sample_imgs(numbered(50), 1, 5, color=False, labels=labels, size=2.5, random_state=0)
    for ax in axes.flat:
        assert int(ax.get_title()) == round(shown(ax)[0, 0] * 255) * 7


def test_every_image_can_be_drawn_and_none_twice():
    draws = [_choose(5, 2, True, seed) for seed in range(60)]
    assert {int(i) for draw in draws for i in draw} == {0, 1, 2, 3, 4}
    assert all(len(set(draw.tolist())) == 2 for draw in draws)


def test_without_shuffle_the_first_images_come_in_order():
    axes = plots.plot_sample_imgs(numbered(9), 2, 2, size=1, shuffle=False)
    assert [ax.get_title() for ax in axes.flat] == ["0", "1", "2", "3"]


def test_the_same_seed_gives_the_same_sample():
    first, second = (
        [ax.get_title() for ax in plots.plot_sample_imgs(numbered(200), 1, 6, size=1, random_state=seed).flat]
        for seed in (11, np.random.default_rng(11))
    )
    assert first == second


def test_cells_without_an_image_stay_blank():
    axes = plots.plot_sample_imgs(numbered(4), 2, 3, size=1)
    assert [len(ax.images) for ax in axes.flat] == [1, 1, 1, 1, 0, 0]


def test_bytes_and_floats_look_the_same():
    images = numbered(3) * 100
    as_bytes = plots.plot_sample_imgs(images, 1, 3, size=1, shuffle=False)
    as_floats = plots.plot_sample_imgs(images.astype(np.float32) / 255, 1, 3, size=1, shuffle=False)
    for one, other in zip(as_bytes.flat, as_floats.flat, strict=True):
        np.testing.assert_array_equal(shown(one), shown(other))
        assert one.images[0].get_clim() == (0, 1)


def displayed_colors(images, color):
    """The RGB values on the page of the one pixel of each image."""
    axes = plots.plot_sample_imgs(images, 1, len(images), size=1, shuffle=False, color=color)
    return np.array([ax.images[0].to_rgba(ax.images[0].get_array())[0, 0, :3] for ax in axes.flat])


@pytest.mark.parametrize("color", [None, False])
def test_grey_images_are_dark_ink_on_white(color):
    black, white = displayed_colors(np.array([1.0, 0.0]).reshape(2, 1, 1, 1), color)
    assert black.max() < 0.01
    assert white.min() > 0.99


def test_color_true_shows_grey_values_as_they_are():
    values = np.array([0, 0.25, 1], dtype=np.float32)
    np.testing.assert_allclose(
        displayed_colors(values.reshape(3, 1, 1, 1), True), values[:, None].repeat(3, 1)
    )


def test_rgb_images_keep_their_colours_unless_told_otherwise():
    red_green_blue = np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3)
    np.testing.assert_array_equal(displayed_colors(red_green_blue, None), np.eye(3))
    luminance = displayed_colors(red_green_blue, False)
    np.testing.assert_allclose(luminance, np.array([[0.299], [0.587], [0.114]]).repeat(3, 1), atol=0.005)


@pytest.mark.parametrize(("orient", "shape"), [("h", (2, 4)), ("v", (4, 2))])
def test_pairs_belong_together(orient, shape):
    originals = numbered(40)
    axes = plots.plot_paired_imgs(originals, 255 - originals, N=4, orient=orient, size=1, random_state=0)
    assert axes.shape == shape
    pairs = axes.T if orient == "h" else axes
    for original, reconstruction in pairs:
        np.testing.assert_allclose(shown(original) + shown(reconstruction), 1, rtol=1e-6)
        index = original.get_title() if orient == "h" else original.get_ylabel()
        assert int(index) == round(shown(original)[0, 0] * 255)
    captions = [ax.get_ylabel() if orient == "h" else ax.get_title() for ax in pairs[0]]
    assert captions == ["original", "reconstruction"]


def test_fewer_pairs_than_asked_for_leave_blank_cells():
    axes = plots.plot_paired_imgs(numbered(2), numbered(2), N=3, size=1)
    assert [len(ax.images) for ax in axes.flat] == [1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plots.plot_sample_imgs(numbered(3), labels=[1, 2]), DataError, "2 labels and 3 images"),
        (lambda: plots.plot_sample_imgs(np.zeros((3, 784))), DataError, "Reshape"),
        (lambda: plots.plot_sample_imgs(numbered(3) * 2.0 + 9), DataError, r"\[0, 1\]"),
        (lambda: plots.plot_sample_imgs(numbered(3), n_rows=0), OptionError, "n_rows=0"),
        (lambda: plots.plot_sample_imgs(numbered(3), n_cols=2.5), OptionError, "n_cols=2.5"),
        (lambda: plots.plot_sample_imgs(numbered(3), size=-1), OptionError, "size=-1"),
        (lambda: plots.plot_sample_imgs(numbered(3), size="big"), OptionError, "size='big'"),
        (lambda: plots.plot_sample_imgs(numbered(3), random_state=-4), OptionError, "random_state=-4"),
        (lambda: plots.plot_paired_imgs(numbered(3), numbered(4)), DataError, "same shape"),
        (lambda: plots.plot_paired_imgs(numbered(3), numbered(3, 3)), DataError, "same shape"),
        (lambda: plots.plot_paired_imgs(numbered(3), numbered(3), orient="x"), OptionError, '"h" or "v"'),
        (lambda: plots.plot_paired_imgs(numbered(3), numbered(3), N=0), OptionError, "N=0"),
        (lambda: plots.plot_loss({"accuracy": [1.0]}), DataError, "keys \\['accuracy'\\]"),
        (lambda: plots.plot_loss([0.1, 0.2]), DataError, "a list"),
        (lambda: plots.plot_loss({"loss": []}), DataError, "one for each epoch"),
        (lambda: plots.plot_loss({"loss": ["high"]}), DataError, "must be numbers"),
        (lambda: plots.plot_confusion([[1, 2, 3], [4, 5, 6]], "ab"), DataError, "one column for each"),
        (lambda: plots.plot_confusion([[1, -2], [3, 4]], "ab"), DataError, "at least 0"),
        (lambda: plots.plot_confusion(np.zeros((0, 0)), []), DataError, "shape"),
        (lambda: plots.plot_explained_variance([0.5, np.nan]), DataError, "between 0 and 1"),
        (lambda: plots.plot_explained_variance([50, 20]), DataError, "between 0 and 1"),
        (lambda: plots.plot_latent_std([]), DataError, "non-empty"),
        (lambda: plots.plot_latent_std([1, -1]), DataError, "at least 0"),
        (lambda: plots.plot_latent_std([1, 2], dead=[True]), DataError, "dead"),
        (lambda: plots.plot_map(np.zeros((5, 3))), DataError, r"\(5, 3\)"),
        (lambda: plots.plot_map(np.zeros((0, 2))), DataError, r"\(0, 2\)"),
        (lambda: plots.plot_map([[0, 1], [np.nan, 2]]), DataError, "1 of 2 points"),
        (lambda: plots.plot_map(np.zeros((5, 2)), [1, 2]), DataError, "5 points"),
        (lambda: plots.plot_map(np.zeros((2, 2)), [1, 2], kind="colour"), OptionError, "category, number"),
        (lambda: plots.plot_map(np.zeros((2, 2)), ["a", "b"], kind="number"), DataError, "must be numbers"),
        (lambda: plots.plot_cluster_labels([[1, 2]], [0, 1], ["a", "b"]), DataError, r"\(1, 2\)"),
        (lambda: plots.plot_gini({}), DataError, "non-empty"),
        (lambda: plots.plot_gini({0: 1.5}), DataError, "between 0 and 1"),
        (lambda: plots.plot_gini([0.1]), DataError, "dict"),
        (lambda: plots.plot_gini({0: 0.7}, n_labels=2), OptionError, "n_labels=2"),
        (lambda: plots.plot_cluster_sheet(numbered(3), n_cols=0), OptionError, "n_cols=0"),
        (lambda: plots.plot_cluster_sheet(np.zeros((2001, 1, 1))), DataError, "2001 images"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_leaves_no_figure(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert plt.get_fignums() == []


# Curves and bars


def test_loss_starts_at_epoch_1_and_names_its_lines():
    history = {"loss": [0.5, 0.2, 0.1], "val_loss": [0.4, 0.3, 0.2], "learning_rate": [1, 1, 1]}
    ax = plots.plot_loss(history)
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2, 3]] * 2
    assert [line.get_ydata().tolist() for line in ax.lines] == [history["loss"], history["val_loss"]]
    assert sorted(names_on(ax)) == ["training 0.1", "validation 0.2"]
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_the_epoch_whose_weights_were_kept_is_marked():
    ax = plots.plot_loss({"loss": [0.5, 0.2, 0.1], "val_loss": [0.4, 0.3, 0.35]}, kept=2)
    assert ax.lines[-1].get_xdata() == [2, 2]
    assert sorted(names_on(ax)) == ["kept: epoch 2", "training 0.1", "validation 0.35"]


@pytest.mark.parametrize("n_epochs", [1, 2, 7, 300])
def test_epochs_are_whole_numbers(n_epochs):
    ax = plots.plot_loss({"loss": np.linspace(1, 0, n_epochs)})
    ticks = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    assert ticks
    assert all(tick == round(tick) and tick >= 1 for tick in ticks)


def test_a_loss_of_several_parts_is_drawn_by_its_reconstruction_which_validation_measures_too():
    history = {
        "loss": [2.0, 1.0],
        "reconstruction_loss": [0.02, 0.01],
        "agreement_loss": [0.5, 0.4],
        "val_loss": [0.02, 0.015],
    }
    drawn = {line.get_label(): list(line.get_ydata()) for line in plots.plot_loss(history).lines}
    assert drawn == {"training": [0.02, 0.01], "validation": [0.02, 0.015]}


def test_a_diverged_loss_is_named_at_its_last_number():
    ax = plots.plot_loss({"loss": [0.5, 0.25, np.nan]})
    (name,) = [text for text in ax.texts if text.get_text()]
    assert (name.get_text(), name.xy) == ("training 0.25", (2, 0.25))


def test_loss_takes_what_fit_returns_and_more_than_two_losses():
    class History:
        history = {"loss": [1, 2], "val_loss": [2, 3], "mse_loss": [3, 4]}  # noqa: RUF012

    assert texts(plots.plot_loss(History()).get_legend().get_texts()) == [
        "training",
        "validation",
        "mse_loss",
    ]


def test_explained_variance_has_bars_and_their_running_sum():
    ratio = np.array([0.5, 0.25, 0.125])
    ax = plots.plot_explained_variance(ratio)
    assert [bar.get_height() for bar in ax.patches] == ratio.tolist()
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx([1, 2, 3])
    assert ax.lines[0].get_ydata().tolist() == [0.5, 0.75, 0.875]
    assert ax.get_xticks().tolist() == [1, 2, 3]
    assert names_on(ax) == ["cumulative\n87.5%"]


def test_dead_latents_are_marked_where_they_are():
    ax = plots.plot_latent_std([0.5, 0.0, 2.0, 0.0])
    bars, dead = ax.containers
    assert [bar.get_height() for bar in bars] == [0.5, 0.0, 2.0, 0.0]
    assert [bar.get_x() + bar.get_width() / 2 for bar in dead] == pytest.approx([1, 3])
    assert all(bar.get_hatch() for bar in dead)
    assert ax.get_title(loc="left") == "2 of 4 latent variables are dead (constant)"
    assert texts(ax.get_xticklabels()) == ["z000", "z001", "z002", "z003"]


def test_who_computed_the_latents_may_say_which_are_dead():
    ax = plots.plot_latent_std([1e-8, 1.0], dead=[True, False])
    assert len(ax.containers[1]) == 1
    assert plots.plot_latent_std([0.0]).get_title(loc="left") == "1 of 1 latent variables is dead (constant)"


def test_names_of_many_latents_are_thinned():
    labels = texts(plots.plot_latent_std(np.ones(512)).get_xticklabels())
    assert labels[:3] == ["z000", "z050", "z100"]
    assert len(labels) == 11


@given(st.integers(1, 5000), st.integers(1, 60))
def test_thinned_places_are_few_and_start_at_the_first(n, most):
    places = thinned(n, most)
    assert places[0] == 0
    assert len(places) <= most
    assert places[-1] < n
    assert len(places) == n or n > most


# Heat maps and clusters


def test_confusion_writes_counts_where_they_are_and_colours_by_row():
    matrix = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])
    ax = plots.plot_confusion(matrix, ["a", "b", "c"])
    written = {text.get_position()[::-1]: int(text.get_text()) for text in ax.texts}
    assert written == dict(np.ndenumerate(matrix))
    np.testing.assert_allclose(shown(ax), [[0.8, 0.2, 0], [0.25, 0.75, 0], [0, 0, 0]])
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first class is the top row"
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true label", "predicted label")
    assert texts(ax.get_xticklabels()) == texts(ax.get_yticklabels()) == ["a", "b", "c"]


@pytest.mark.parametrize(("n", "n_written"), [(15, 225), (16, 0)])
def test_counts_of_many_classes_are_left_out(n, n_written):
    assert len(plots.plot_confusion(np.eye(n), range(n)).texts) == n_written


def test_cluster_table_has_clusters_as_rows():
    table = [[5, 0], [1, 3], [100_000, 1]]
    ax = plots.plot_cluster_labels(table, [7, 8, 9], ["cat", "dog"])
    assert texts(ax.get_yticklabels()) == ["7", "8", "9"]
    assert texts(ax.get_xticklabels()) == ["cat", "dog"]
    assert texts(ax.texts) == ["5", "0", "1", "3", "100k", "1"]
    np.testing.assert_allclose(shown(ax)[1], [0.25, 0.75])


def test_gini_bars_are_sorted_and_keep_their_clusters():
    gini = {0: 0.5, 1: 0.125, 2: 0.25, 3: 0.125}
    ax = plots.plot_gini(gini, n_labels=4)
    shown_gini = dict(zip(texts(ax.get_xticklabels()), [bar.get_height() for bar in ax.patches], strict=True))
    assert shown_gini == {str(cluster): value for cluster, value in gini.items()}
    assert list(shown_gini) == ["1", "3", "2", "0"]
    assert set(ax.lines[0].get_ydata()) == {0.25}
    assert ax.get_ylim() == (0, 0.75)
    assert plots.plot_gini(gini).get_ylim() == (0, 1)


def test_a_sheet_shows_every_image_once_in_order():
    images = numbered(7) + 1
    ax = plots.plot_cluster_sheet(images, "cluster 3 · 7 images", n_cols=3)
    sheet = np.round(shown(ax) * 255).astype(int)
    assert sheet.shape == (3 * 4 + 2, 3 * 4 + 2), (
        "three rows and columns of 4 pixels, a gap of 1 between them"
    )
    assert sheet[::5, ::5].tolist() == [[1, 2, 3], [4, 5, 6], [7, 0, 0]]
    assert [np.sum(sheet == i) for i in range(1, 8)] == [16] * 7
    assert ax.get_title(loc="left") == "cluster 3 · 7 images"


def test_a_colour_sheet_is_filled_up_with_white():
    sheet = shown(plots.plot_cluster_sheet(numbered(3, 3), n_cols=2))
    assert sheet.shape[2] == 3
    assert (sheet[5:, 5:] == 1).all()
    assert (sheet[4, :] == 1).all()


# Maps


def colors_by_place(ax) -> dict:
    scatter = ax.collections[0]
    return {
        tuple(place): to_hex(color)
        for place, color in zip(scatter.get_offsets().tolist(), scatter.get_facecolors(), strict=True)
    }


def test_each_point_of_the_map_has_the_colour_of_its_category():
    points, labels = np.arange(12).reshape(6, 2), ["b", "a", "c", "a", "b", "c"]
    ax = plots.plot_map(points, labels, name="animal", title="a map")
    legend = ax.get_legend()
    colors = {
        text.get_text(): to_hex(dot.get_color())
        for text, dot in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert list(colors) == ["a", "b", "c"]
    expected = {tuple(map(float, point)): colors[label] for point, label in zip(points, labels, strict=True)}
    assert colors_by_place(ax) == expected
    assert legend.get_title().get_text() == "animal"
    assert ax.get_title(loc="left") == "a map"


def test_a_map_has_no_ticks_and_equal_units():
    ax = plots.plot_map([[0, 0], [100, 1]])
    ax.figure.draw_without_rendering()
    assert ax.get_xticks().size == ax.get_yticks().size == 0
    (x0, y0), (x1, y1) = ax.transData.transform([(0, 0), (1, 1)])
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.01)
    assert ax.get_legend() is None


def test_the_legend_lies_beside_the_map(rng):
    ax = plots.plot_map(rng.normal(size=(100, 2)), rng.integers(0, 10, 100))
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x0 >= ax.bbox.x1
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1


@pytest.mark.parametrize("apart", [100.0, 0.0])
def test_names_of_many_clusters_stand_on_the_map_and_not_on_each_other(rng, apart):
    clusters = np.arange(2000) % 20
    points = rng.normal(size=(2000, 2)) + apart * np.stack([clusters % 5, clusters // 5], axis=1)
    ax = plots.plot_map(points, clusters)
    assert ax.get_legend() is None
    assert sorted(map(int, names_on(ax))) == list(range(20))
    named = [text for text in ax.texts if text.get_text()]
    for text in named:
        np.testing.assert_allclose(text.xy, np.median(points[clusters == int(text.get_text())], axis=0))
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in named]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(ax.bbox.fully_contains(x, y) for box in boxes for x, y in box.corners())


def test_more_groups_than_names_fit_are_counted(rng):
    ax = plots.plot_map(rng.normal(size=(400, 2)), np.arange(400) % 200)
    assert ax.get_xlabel() == f"{200 - len(names_on(ax))} smaller groups without a name"
    assert 0 < len(names_on(ax)) <= 60


def test_numbers_get_a_colour_bar_and_the_highest_lie_on_top():
    values = np.array([0.3, 0.1, np.nan, 0.2])
    ax = plots.plot_map(np.arange(8).reshape(4, 2), values, name="error")
    unknown, known = ax.collections
    assert unknown.get_offsets().tolist() == [[4, 5]]
    assert known.get_array().tolist() == [0.1, 0.2, 0.3]
    assert known.get_offsets().tolist() == [[2, 3], [6, 7], [0, 1]]
    assert known.get_clim() == (0.1, 0.3)
    assert ax.figure.axes[1].get_ylabel() == "error"
    assert ax.get_xlabel() == "grey: 1 without a number"


def test_one_outlier_does_not_take_all_the_colours(rng):
    values = rng.random(1000)
    values[0] = 1e6
    low, high = plots.plot_map(rng.normal(size=(1000, 2)), values).collections[1].get_clim()
    assert 0 < low < 0.05
    assert 0.9 < high < 1


@pytest.mark.parametrize(
    ("values", "kind", "has_legend"),
    [
        ([0.0, 1.0, 2.0], None, True),
        ([0.5, 1.0, 2.0], None, False),
        ([0.5, 1.0, 2.0], "category", True),
        ([0, 1, 2], "number", False),
        ([True, False, True], None, True),
        ([None, "a", 3], None, True),
        ([np.nan] * 3, "number", False),
        ([0.5, 0.5, 0.5], None, False),
    ],
)
def test_kind_is_inferred_or_obeyed(values, kind, has_legend):
    ax = plots.plot_map(
        [[0, 0], [1, 1], [2, 0]], np.array(values, dtype=object) if None in values else values, kind=kind
    )
    assert (ax.get_legend() is not None) == has_legend
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("n", [1, 3, 10, 1000, 100_000])
def test_points_are_visible_and_fewer_are_larger(n):
    scatter = plots.plot_map(np.random.default_rng(0).normal(size=(n, 2))).collections[0]
    assert 1 <= scatter.get_sizes()[0] <= 30
    assert 0.5 <= scatter.get_alpha() <= 0.9
    assert scatter.get_rasterized()


def test_the_first_twenty_colours_differ():
    assert len({to_hex(color) for color in palette(20)}) == 20
    assert [to_hex(color) for color in palette(10)] == list(PALETTE)


# Any label, any Axes, no traces


DRAWINGS = {
    "sample": lambda: plots.plot_sample_imgs(numbered(9), 3, 3, size=1, labels=NASTY),
    "paired": lambda: plots.plot_paired_imgs(numbered(9), numbered(9), N=9, size=1, labels=NASTY),
    "loss": lambda: plots.plot_loss({f"{name} loss": [1, 2] for name in NASTY}),
    "confusion": lambda: plots.plot_confusion(np.eye(9), NASTY),
    "map": lambda: plots.plot_map(np.eye(9, 2), NASTY, title=NASTY[0], name=NASTY[0]),
    "names": lambda: plots.plot_map(np.eye(27, 2), [name + end for name in NASTY for end in "$_\n"]),
    "clusters": lambda: plots.plot_cluster_labels(np.eye(9), NASTY, NASTY),
    "gini": lambda: plots.plot_gini(dict.fromkeys(NASTY, 0.5)),
    "sheet": lambda: plots.plot_cluster_sheet(numbered(3), NASTY[0] * 100),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_any_label_can_be_drawn_and_saved(name, tmp_path):
    path = plots.save_figure(DRAWINGS[name](), tmp_path / "figure.png")
    with Image.open(path) as picture:
        assert max(picture.size) < 2500


@given(st.text(), st.integers(5, 60))
def test_captions_are_short_literal_text(text, limit):
    shown_text = caption(text, limit)
    assert len(shown_text.replace(r"\$", "$")) <= limit
    assert shown_text.isprintable()
    assert shown_text.count("$") == shown_text.count(r"\$")


def test_captions_keep_both_ends_and_never_become_formulas():
    assert caption("$a$ and $b$") == r"\$a\$ and \$b\$"
    assert caption("adenocarcinoma of the colon 12", 12) == "adenoca…n 12"
    assert caption(" \n") == "–"
    assert [caption(label) for label in (3.0, np.int64(-1), b"cat", None, True)] == [
        "3",
        "-1",
        "cat",
        "None",
        "True",
    ]
    ax = plots.plot_sample_imgs(numbered(1), 1, 1, labels=["$x$"])[0, 0]
    assert ax.title._preprocess_math(ax.get_title()) == ("$x$", False)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.plot_loss({"loss": [1, 2]}, ax=ax),
        lambda ax: plots.plot_confusion(np.eye(2), "ab", ax=ax),
        lambda ax: plots.plot_explained_variance([0.5], ax=ax),
        lambda ax: plots.plot_latent_std([0.5], ax=ax),
        lambda ax: plots.plot_map(np.eye(12, 2), range(12), ax=ax),
        lambda ax: plots.plot_map(np.eye(12, 2), np.linspace(0, 1, 12), ax=ax),
        lambda ax: plots.plot_cluster_labels(np.eye(2), "ab", "cd", ax=ax),
        lambda ax: plots.plot_gini({0: 0.5}, ax=ax),
        lambda ax: plots.plot_cluster_sheet(numbered(2), ax=ax),
    ],
)
def test_a_given_axes_is_drawn_on_and_returned(draw):
    figure = plt.figure(figsize=(6, 3))
    ax = figure.subfigures(1, 2)[1].subplots()
    before = dict(mpl.rcParams)
    assert draw(ax) is ax
    assert len(plt.get_fignums()) == 1
    assert ax.has_data()
    assert dict(mpl.rcParams) == before


def test_settings_of_the_caller_neither_change_nor_distort_the_picture():
    with mpl.rc_context({"image.origin": "lower", "axes.grid": True, "text.color": "green"}):
        before = dict(mpl.rcParams)
        ax = plots.plot_cluster_sheet(numbered(2), "title")
        assert dict(mpl.rcParams) == before
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "images are not upside down"
    assert to_rgba(ax._left_title.get_color()) == to_rgba("green")


# Files


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "PNG"])
def test_the_same_picture_gives_the_same_bytes(tmp_path, suffix, monkeypatch):
    def save(name):
        return plots.save_figure(
            plots.plot_gini({0: 0.1, 1: 0.4}), tmp_path / f"{name}.{suffix}"
        ).read_bytes()

    first = save("first")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert save("second") == first
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["first", "second"]


def test_saving_closes_the_figure_and_sets_the_size(tmp_path):
    axes = plots.plot_sample_imgs(numbered(4), 2, 2, size=1)
    path = plots.save_figure(axes, str(tmp_path / "sample.png"), dpi=50)
    assert plt.get_fignums() == []
    with Image.open(path) as picture:
        assert 80 < picture.width < 130
    assert plots.save_figure(plots.plot_gini({0: 0.1}).figure, path) == path


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "gini.png"
    path.write_bytes(b"old")
    ax = plots.plot_gini({0: 0.1})

    def fail(part, **_):
        part.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(ax.figure, "savefig", fail)
    with pytest.raises(OutputError, match=r"gini\.png \(disk full\)"):
        plots.save_figure(ax, path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("gini.png", b"old")]
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "message"), [("a.bmp", ".png, .svg, .pdf"), ("missing/a.png", "Make the folder")]
)
def test_a_path_that_cannot_be_written_is_told(tmp_path, name, message):
    with pytest.raises(OptionError, match=message):
        plots.save_figure(plots.plot_gini({0: 0.1}), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_style_leaves_other_settings_alone():
    """A notebook's backend becomes interactive inside the first call, and must stay so."""
    from caescope.plots.style import STYLE, styled

    @styled
    def first_figure():
        assert mpl.rcParams["font.size"] == STYLE["font.size"]
        mpl.interactive(True)

    with mpl.rc_context({"font.size": 33}):
        mpl.interactive(False)
        first_figure()
        assert mpl.is_interactive()
        assert mpl.rcParams["font.size"] == 33


def test_a_grey_picture_is_saved_as_grey_and_loses_nothing(tmp_path):
    image = np.random.default_rng(0).uniform(size=(1, 20, 20))
    axes = plots.plot_sample_imgs(image, 1, 1, size=1, shuffle=False)
    path = plots.save_figure(axes, tmp_path / "grey.png", dpi=100)
    with Image.open(path) as saved:
        assert saved.mode == "L"
        shades = np.unique(np.asarray(saved))
    assert (shades.min(), shades.max()) == (0, 255)
    assert len(shades) > 100


def test_a_drawing_gets_a_palette_and_keeps_its_white_and_its_colours(tmp_path):
    path = plots.save_figure(plots.plot_gini({0: 0.5}), tmp_path / "gini.png")
    with Image.open(path) as saved:
        assert saved.mode == "P"
        colors = {color for _, color in saved.convert("RGB").getcolors(256)}
    assert (255, 255, 255) in colors
    assert min(max(abs(a - b) for a, b in zip(color, (63, 144, 218), strict=True)) for color in colors) <= 2


def test_a_photograph_keeps_its_colours(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), np.uint8)
    path = plots.save_figure(plots.plot_sample_imgs(image, 1, 1, size=4, shuffle=False), tmp_path / "a.png")
    with Image.open(path) as saved:
        assert saved.mode == "RGB"
        assert len(saved.getcolors(2**24)) > 2**15
