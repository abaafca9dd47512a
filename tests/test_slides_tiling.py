import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from caescope.errors import DataError, OptionError
from caescope.slides import (
    Slide,
    open_slide,
    plan_tiles,
    read_thumbnail,
    read_tile,
    tissue_mask,
    tissue_share,
)


def a_slide(width=1000, height=800, downsamples=(1.0, 4.0, 16.0), mpp=0.25, magnification=40.0) -> Slide:
    levels = tuple((int(width / d), int(height / d)) for d in downsamples)
    return Slide("a.svs", width, height, levels, downsamples, mpp, magnification, "aperio")


def write_pyramid(path: Path, width: int, height: int, factors=(1, 2, 4), seed=0) -> list[np.ndarray]:
    """Write a slide whose levels are pure noise, the hardest to get right, and return them."""
    rng = np.random.default_rng(seed)
    levels = [rng.integers(0, 256, (height // f, width // f, 3), dtype=np.uint8) for f in factors]
    with tifffile.TiffWriter(path) as file:
        for level in levels:
            reduced = {} if level is levels[0] else {"subfiletype": 1}
            options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
            file.write(level, resolution=(20000, 20000), resolutionunit="CENTIMETER", **options, **reduced)
    return levels


def stitched(slide: Slide, level: int, size: int) -> np.ndarray:
    """Return a level put together from its tiles."""
    downsample = slide.downsamples[level]
    mpp = 1.0 if slide.mpp is None else slide.mpp
    plan = plan_tiles(slide, size, mpp=mpp * downsample, slide_mpp=1.0, rule="none", edges="pad")
    assert (plan.level, plan.scale) == (level, 1)
    columns, rows = plan.grid
    whole = np.zeros((rows * size, columns * size, 3), np.uint8)
    for i in range(len(plan)):
        row, column = divmod(i, columns)
        whole[row * size :, column * size :][:size, :size] = read_tile(slide, plan, i)
    return whole


def check_stitching(slide: Slide, level: int, size: int, truth: np.ndarray) -> None:
    height, width = truth.shape[:2]
    whole = stitched(slide, level, size)
    assert whole.shape[:2] == (math.ceil(height / size) * size, math.ceil(width / size) * size)
    np.testing.assert_array_equal(whole[:height, :width], truth)
    assert (whole[height:] == 255).all()
    assert (whole[:, width:] == 255).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3), st.integers(8, 130))
def test_tiles_of_boxes_stitch_to_each_level(shared_data, level, size):
    slide = open_slide(shared_data / "slides" / "boxes.tiff")
    width, height = slide.level_dimensions[level]
    truth = np.asarray(slide.read_region(level, 0, 0, width, height))
    check_stitching(slide, level, size, truth)


@settings(max_examples=15, deadline=None)
@given(st.integers(130, 350), st.integers(130, 350), st.integers(0, 2), st.integers(10, 140))
def test_tiles_of_any_pyramid_stitch_to_each_level(tmp_path_factory, width, height, level, size):
    path = tmp_path_factory.mktemp("pyramid") / "noise.tiff"
    levels = write_pyramid(path, width, height)
    check_stitching(open_slide(path), level, size, levels[level])


def test_tiles_over_the_edge_are_left_out_by_default():
    plan = plan_tiles(a_slide(1000, 800), 300, rule="none")
    assert plan.grid == (3, 2)
    assert plan.x.tolist() == [0, 300, 600] * 2
    assert plan.y.tolist() == [0, 0, 0, 300, 300, 300]
    assert plan_tiles(a_slide(1000, 800), 300, rule="none", edges="pad").grid == (4, 3)
    assert plan_tiles(a_slide(1000, 800), 100, rule="none", edges="pad").grid == (10, 8)
    assert plan_tiles(a_slide(50, 50, (1.0,)), 100, rule="none", edges="pad").grid == (1, 1)


@pytest.mark.parametrize("edges", ["drop", "pad"])
@settings(max_examples=60, deadline=None)
@given(
    st.integers(40, 3000),
    st.integers(40, 3000),
    st.integers(5, 40),
    st.integers(0, 4),
    st.floats(0.25, 12),
)
def test_grids_cover_what_they_promise(edges, width, height, size, overlap, mpp):
    slide = a_slide(width, height, (1.0,))
    try:
        plan = plan_tiles(slide, size, mpp=mpp, overlap=overlap, rule="none", edges=edges)
    except DataError:
        assert edges == "drop"
        assert min(width, height) < size * mpp / 0.25 * 1.01
        return
    step = (size - overlap) * plan.downsample
    for corners, extent in ((plan.x, width), (plan.y, height)):
        end = corners.max() + plan.size0
        assert corners.min() == 0
        if edges == "pad":
            assert end >= extent - 1
            assert corners.max() < extent
        else:
            assert end <= extent + 1
            assert end + step > extent - 1
        gaps = np.diff(np.unique(corners))
        assert ((gaps - step) > -1).all()
        assert ((gaps - step) < 1).all()


@pytest.mark.parametrize(
    ("asked", "level", "downsample", "scale"),
    [
        ({}, 0, 1, 1),
        ({"mpp": 0.25}, 0, 1, 1),
        ({"mpp": 0.252}, 0, 1, 1),  # within 1 %
        ({"mpp": 0.26}, 0, 1.04, 1.04),
        ({"mpp": 0.5}, 0, 2, 2),
        ({"mpp": 1}, 1, 4, 1),
        ({"mpp": 0.996}, 1, 4, 1),
        ({"mpp": 1.5}, 1, 6, 1.5),
        ({"mpp": 100}, 2, 400, 25),
        ({"magnification": 40}, 0, 1, 1),
        ({"magnification": 10}, 1, 4, 1),
        ({"magnification": 2.5}, 2, 16, 1),
        ({"mpp": 0.21}, 0, 0.84, 0.84),  # somewhat finer than the slide
    ],
)
def test_the_coarsest_level_that_is_fine_enough_is_chosen(asked, level, downsample, scale):
    plan = plan_tiles(a_slide(100_000, 80_000), 64, rule="none", **asked)
    assert plan.level == level
    assert plan.downsample == pytest.approx(downsample)
    assert plan.scale == pytest.approx(scale)
    assert plan.mpp == pytest.approx(0.25 * downsample)
    assert plan.size0 == pytest.approx(64 * downsample)


def test_a_plan_says_what_it_is():
    plan = plan_tiles(a_slide(1000, 800), 100, mpp=0.5, rule="none")
    assert repr(plan) == "TilePlan(20 of 5×4 tiles of 100 pixels, level 0, 0.5 microns per pixel)"
    plan = plan_tiles(a_slide(1000, 800, mpp=None), 100, rule="none")
    assert repr(plan) == "TilePlan(80 of 10×8 tiles of 100 pixels, level 0)"


def test_a_downsample_that_is_nearly_whole_is_taken_as_it_is():
    plan = plan_tiles(a_slide(46_000, 32_914, (1.0, 4.000121, 16.00243)), magnification=10, rule="none")
    assert (plan.level, plan.scale, plan.downsample) == (1, 1, 4.000121)
    assert plan.x[1] == round(128 * 4.000121)


def test_magnification_without_an_objective_goes_by_ten_microns():
    slide = a_slide(magnification=None)
    assert plan_tiles(slide, 16, magnification=10, rule="none").downsample == 4  # 1 micron per pixel
    no_mpp = a_slide(mpp=None)
    plan = plan_tiles(no_mpp, 16, magnification=10, rule="none")
    assert (plan.downsample, plan.mpp) == (4, None)


def test_the_mpp_given_counts_only_where_the_slide_tells_none():
    assert plan_tiles(a_slide(), 16, mpp=1, slide_mpp=0.5, rule="none").downsample == 4
    plan = plan_tiles(a_slide(mpp=None), 16, mpp=1, slide_mpp=0.5, rule="none")
    assert (plan.downsample, plan.mpp) == (2, 1)


def test_a_slide_without_mpp_says_what_to_do():
    with pytest.raises(
        DataError, match=r"a\.svs must tell its microns per pixel\. Received none .* slide_mpp=0\.5"
    ):
        plan_tiles(a_slide(mpp=None), mpp=0.5)
    with pytest.raises(DataError, match="must tell its microns per pixel"):
        plan_tiles(a_slide(mpp=None, magnification=None), magnification=20)


def test_finer_than_the_slide_is_refused():
    match = r"Received 0\.1 microns per pixel asked for, 0\.25 in the file\. Ask for at least 0\.25 .* 40×"
    with pytest.raises(DataError, match=match):
        plan_tiles(a_slide(), mpp=0.1)
    with pytest.raises(DataError, match=r"Received 80× asked for, 40× in the file\. Ask for at most 40×"):
        plan_tiles(a_slide(), magnification=80)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be an integer from 1 to 4096"),
        ({"size": 64, "overlap": 64}, "overlap must be an integer from 0 to 63"),
        ({"overlap": -1}, "overlap must be an integer from 0"),
        ({"mpp": 0}, "mpp must be a positive number. Received mpp=0"),
        ({"mpp": math.nan}, "mpp must be a positive number"),
        ({"magnification": "x"}, "magnification must be a positive number. Received magnification='x'"),
        ({"slide_mpp": True}, "slide_mpp must be a positive number"),
        ({"mpp": 1, "magnification": 10}, "mpp and magnification must not both be given"),
        ({"min_tissue": 1.5}, r"min_tissue must lie in \[0, 1\]. Received min_tissue=1.5"),
        ({"min_tissue": "half"}, r"min_tissue must lie in \[0, 1\]"),
        ({"rule": "hsv"}, "rule must be one of otsu, white, none. Received rule='hsv'"),
        ({"rule": ["otsu"]}, "rule must be one of otsu, white, none"),
        ({"edges": "wrap"}, "edges must be one of drop, pad"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        plan_tiles(a_slide(), **options)


def test_a_slide_smaller_than_a_tile_is_refused():
    match = r"at least as large as a tile, 300×300 pixels\. Received 250×200 pixels .* edges=\"pad\""
    with pytest.raises(DataError, match=match):
        plan_tiles(a_slide(), 300, mpp=1, rule="none")


def test_gigantic_plans_and_regions_are_refused_before_anything_is_read():
    slide = a_slide(100_000, 100_000, (1.0,))
    with pytest.raises(DataError, match=r"at most 20,000,000 tiles\. Received 100,000,000"):
        plan_tiles(slide, 10)
    with pytest.raises(DataError, match=r"close to the resolution asked for\. Received 51200 pixels"):
        plan_tiles(slide, 128, mpp=100)


def test_tissue_decides_and_its_share_is_known():
    picture = np.full((80, 100, 3), 245, np.uint8)
    picture[:40, :45] = (200, 100, 180)
    plan = plan_tiles(a_slide(), 100, min_tissue=0.3, thumbnail=lambda slide: picture)
    boxes = np.stack([plan.x, plan.y, plan.x + 100, plan.y + 100], axis=1) / 10
    assert plan.grid == (10, 8)
    assert len(plan) == 5 * 4  # the fifth column is half tissue
    assert plan.tissue == pytest.approx(tissue_share(tissue_mask(picture), boxes), abs=1e-6)
    assert len(plan_tiles(a_slide(), 100, min_tissue=0.6, thumbnail=lambda slide: picture)) == 4 * 4
    everything = plan_tiles(a_slide(), 100, rule="none", min_tissue=0.9, thumbnail=lambda slide: picture)
    assert len(everything) == 80


def test_the_white_rule_leaves_out_tiles_of_which_a_fifth_is_white():
    picture = np.full((80, 100, 3), 90, np.uint8)  # grey, so without colour
    picture[:, :2] = 255  # a fifth of the first column
    picture[:, 10:13] = 255  # three tenths of the second
    plan = plan_tiles(a_slide(), 100, rule="white", thumbnail=lambda slide: picture)
    assert np.unique(plan.x).tolist() == [0, *range(200, 1000, 100)]


def test_a_blank_slide_gives_no_tile_and_padding_counts_as_none():
    blank = np.full((80, 100, 3), 245, np.uint8)
    assert len(plan_tiles(a_slide(), 100, thumbnail=lambda slide: blank)) == 0
    full = np.full((80, 100, 3), (200, 100, 180), np.uint8)
    plan = plan_tiles(a_slide(), 300, min_tissue=0, edges="pad", thumbnail=lambda slide: full)
    assert plan.tissue.reshape(3, 4)[-1] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 9], abs=1e-6)


def test_a_plan_of_a_gigantic_slide_stays_small_in_memory():
    slide = a_slide(100_000, 100_000, (1.0, 4.0, 16.0, 64.0))
    picture = np.full((1563, 1563, 3), (200, 100, 180), np.uint8)
    tracemalloc.start()
    plan = plan_tiles(slide, 128, thumbnail=lambda slide: picture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(plan) == 781 * 781
    assert peak < 200e6


def test_a_thumbnail_is_the_mean_of_what_it_stands_for(tmp_path):
    (level,) = write_pyramid(tmp_path / "a.tiff", 5000, 640, factors=(1,))
    slide = open_slide(tmp_path / "a.tiff")
    picture = read_thumbnail(slide, 500)  # read in three pieces
    means = level.reshape(64, 10, 500, 10, 3).mean(axis=(1, 3))
    assert np.abs(picture - means).max() <= 1
    np.testing.assert_array_equal(read_thumbnail(slide, 10_000), level)


def test_a_level_of_the_right_size_is_the_thumbnail(tmp_path):
    levels = write_pyramid(tmp_path / "a.tiff", 400, 300)
    slide = open_slide(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_thumbnail(slide, 150), levels[2])  # 100 × 75
    assert read_thumbnail(slide, 90).shape == (68, 90, 3)
    assert read_thumbnail(slide, 399).shape == levels[1].shape
