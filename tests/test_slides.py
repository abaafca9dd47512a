import multiprocessing
import os
import pickle
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from caescope.errors import DataError, FileFormatError, MissingDependencyError, OptionError
from caescope.slides import find_slides, handles, open_slide, plan_tiles, read_tile
from hostile_data import big_tiff, tiled_tiff

ALL = {"rule": "none"}


def write_slide(path, pixels, mpp=None, **options):
    """Write a plain tiled TIFF, which OpenSlide reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if mpp is not None:
        options |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None} | options
    tifffile.imwrite(path, pixels, **options)
    return path


def noise(height=200, width=300, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def damage(path, tile):
    """Overwrite what one tile of 64×64 pixels is packed in."""
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[0].dataoffsets[tile], file.pages[0].databytecounts[tile]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\x00" * length)


@pytest.fixture
def study(tmp_path):
    """Three slides, one of them in a sub-folder, and a file that is none."""
    for i, name in enumerate(["b.tif", "a.tiff", "deep/c.svs"]):
        write_slide(tmp_path / name, noise(130 + 64 * i, 200, seed=i), mpp=0.5)
    (tmp_path / "notes.txt").write_text("not a slide")
    write_slide(tmp_path / ".hidden.tif", noise())
    return tmp_path


def test_what_the_header_of_a_real_slide_tells(shared_data):
    slide = open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs")
    assert (slide.width, slide.height, slide.level_dimensions) == (2220, 2967, ((2220, 2967),))
    assert (slide.mpp, slide.magnification, slide.vendor) == (0.499, 20, "aperio")
    assert (slide.downsamples, slide.name) == ((1.0,), "CMU-1-Small-Region.svs")


def test_a_tiled_tiff_opens_and_72_dots_per_inch_are_no_microscope(shared_data):
    slide = open_slide(shared_data / "slides" / "boxes.tiff")
    assert slide.level_dimensions == ((300, 250), (150, 125), (75, 62), (37, 31))
    assert (slide.mpp, slide.magnification, slide.vendor) == (None, None, "generic-tiff")


def test_resolution_comes_from_the_tags_of_a_tiff(tmp_path):
    assert open_slide(write_slide(tmp_path / "a.tif", noise(), mpp=0.25)).mpp == pytest.approx(0.25)
    assert open_slide(write_slide(tmp_path / "b.tif", noise())).mpp is None


def test_a_pickled_slide_is_opened_by_whoever_reads_it(study):
    slide = open_slide(study / "a.tiff")
    pixels = slide.read_region(0, 0, 0, 8, 8)
    text = pickle.dumps(slide)
    again = pickle.loads(text)
    assert again == slide
    assert len(text) < 600
    np.testing.assert_array_equal(again.read_region(0, 0, 0, 8, 8), pixels)
    (study / "a.tiff").unlink()
    missing = pickle.loads(text)
    with pytest.raises(FileFormatError, match=r"a\.tiff must exist"):
        missing.read_region(0, 0, 0, 8, 8)


def test_a_pickled_slide_is_looked_at_before_a_library_opens_it(study):
    slide = pickle.loads(pickle.dumps(open_slide(study / "a.tiff")))
    (study / "a.tiff").write_bytes(tiled_tiff(t322=(1, 0xFFF0), t323=(1, 0xFFF0)))
    with pytest.raises(FileFormatError, match="must have tiles of at most"):
        slide.read_region(0, 0, 0, 8, 8)


def test_every_thread_has_its_own_handle_and_few_of_them(tmp_path):
    paths = [
        str(write_slide(tmp_path / f"{i}.tif", noise(64, 64, i))) for i in range(handles.OPEN_IN_A_THREAD + 3)
    ]
    mine = handles.handle_of(paths[0])
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handles.handle_of, paths[0]).result() is not mine
    assert handles.handle_of(paths[0]) is mine
    slides = [open_slide(path) for path in paths]
    assert len(handles._handles_here()) == handles.OPEN_IN_A_THREAD
    for i, slide in enumerate(slides):  # those closed meanwhile are opened again
        np.testing.assert_array_equal(np.asarray(slide.read_region(0, 0, 0, 64, 64)), noise(64, 64, i))


def test_a_slide_that_vanished_before_it_was_opened_again_ends_in_one_sentence(study):
    slide, other = open_slide(study / "a.tiff"), handles.handle_of(str(study / "b.tif"))
    slide.read_region(0, 0, 0, 8, 8)
    handles.forget(slide.path)
    (study / "a.tiff").unlink()
    with pytest.raises(FileFormatError, match=r"a\.tiff must be readable as a slide\. Received OpenSlide"):
        slide.read_region(0, 0, 0, 8, 8)
    assert handles.handle_of(str(study / "b.tif")) is other


def test_a_copy_of_this_process_begins_without_open_files(study, monkeypatch):
    """And leaves those alone that it inherits, as it shares their positions."""
    path, before = str(study / "a.tiff"), handles._handles
    monkeypatch.setattr(handles, "_handles", before)  # to be put back
    monkeypatch.setattr(handles, "_inherited", [])
    mine = handles.handle_of(path)
    handles._start_anew()  # as it does in the copy
    assert handles._inherited == [before]
    assert handles.handle_of(path) is not mine
    assert mine.read_region((0, 0), 0, (8, 8)).size == (8, 8)


def test_systems_that_fork_nothing_open_slides_too(study, monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    module = runpy.run_path(handles.__file__)
    assert module["handle_of"](str(study / "a.tiff")).dimensions == (200, 194)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_opens_its_own(study):
    source = find_slides(study, size=64, **ALL)
    before = source.read([0, 1])
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for tiles in pool.map(source.read, [[0, 1]] * 4):
            np.testing.assert_array_equal(tiles, before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must be a slide that OpenSlide reads\. Received an empty file\. OpenSlide reads Aperio"),
        (b"just text", r"must be a slide that OpenSlide reads\. Received a file of another kind"),
        (tiled_tiff(next_ifd=8), r"a\.svs must be readable as a slide\. .*directories without end"),
        (
            tiled_tiff(t322=(1, 9000), t323=(1, 9000)),
            r"at most 67,108,864 pixels\. Received tiles of 9000×9000",
        ),
        (big_tiff(2**40), r"at most 67,108,864 pixels\. Received tiles of 1099511627776×1099511627776"),
        (b"II*\x00\x08\x00\x00\x00\xff\xff", r"a\.svs must be a slide that OpenSlide reads"),
        (b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(20), r"a\.svs must be a slide that OpenSlide reads"),
    ],
)
def test_what_is_no_slide_ends_in_one_sentence(tmp_path, content, message):
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        open_slide(tmp_path / "a.svs")


def test_missing_files_folders_and_untiled_images_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match=r"gone\.svs must exist\. Received no such file"):
        open_slide(tmp_path / "gone.svs")
    with pytest.raises(FileFormatError, match="must be a file"):
        open_slide(tmp_path)
    Image.fromarray(noise()).save(tmp_path / "flat.png")
    with pytest.raises(FileFormatError, match="must be a slide that OpenSlide reads"):
        open_slide(tmp_path / "flat.png")


def test_a_truncated_slide_ends_in_one_sentence(tmp_path, shared_data):
    whole = (shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    (tmp_path / "cut.svs").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"cut\.svs must be"):
        find_slides(tmp_path / "cut.svs").load()


def test_without_openslide_the_extra_is_named(monkeypatch, study):
    monkeypatch.setitem(sys.modules, "openslide", None)
    for call in (open_slide, find_slides):
        with pytest.raises(MissingDependencyError, match=r'pip install "caescope\[slides\]"'):
            call(study / "a.tiff")


def test_outside_of_a_slide_and_where_it_is_transparent_there_is_white(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[:, 32:, 3] = 255
    slide = open_slide(write_slide(tmp_path / "a.tif", pixels, extrasamples=["unassalpha"]))
    region = np.asarray(slide.read_region(0, 0, 0, 80, 64))
    assert (region[:, 64:] == 255).all()
    assert (region[:, 32:64] == (200, 0, 0)).all()


def test_resampling_by_a_whole_number_is_the_mean(tmp_path):
    pixels = noise(128, 192)
    slide = open_slide(write_slide(tmp_path / "a.tif", pixels, mpp=0.5))
    plan = plan_tiles(slide, 16, mpp=2, **ALL)
    assert (plan.grid, plan.scale) == ((3, 2), pytest.approx(4))
    means = pixels.reshape(32, 4, 48, 4, 3).mean(axis=(1, 3))
    for i in range(6):
        row, column = divmod(i, 3)
        expected = means[16 * row :, 16 * column :][:16, :16]
        assert np.abs(read_tile(slide, plan, i) - expected).max() <= 0.5


def test_resampling_by_a_fraction_keeps_places_and_colours(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 400)[None, :, None], (100, 400, 3)).round().astype(np.uint8)
    slide = open_slide(write_slide(tmp_path / "a.tif", ramp, mpp=0.5))
    plan = plan_tiles(slide, 20, mpp=0.85, overlap=3, **ALL)
    assert plan.size0 == pytest.approx(34)
    for i in range(len(plan)):
        centres = plan.x[i] + (np.arange(20) + 0.5) * 1.7 - 0.5
        tile = read_tile(slide, plan, i)
        assert tile.shape == (20, 20, 3)
        assert np.abs(tile[10, 3:-3, 0] - centres[3:-3] / 399 * 255).max() < 1.5  # edges lack neighbours


def test_a_tile_that_cannot_be_read_is_named_and_others_still_are(tmp_path):
    pixels = noise(128, 192)
    path = write_slide(tmp_path / "a.tif", pixels)
    damage(path, 4)
    source = find_slides(path, size=64, **ALL)
    with pytest.raises(
        FileFormatError, match=r"Tile a\.tif/64_64 of .*a\.tif must be readable\. Received \w"
    ):
        source.read(slice(None))
    others = [0, 1, 2, 3, 5]
    expected = [
        pixels[y : y + 64, x : x + 64] for x, y in zip(source.columns["x"], source.columns["y"], strict=True)
    ]
    np.testing.assert_array_equal(source.read(others), np.array(expected)[others])
    with pytest.raises(FileFormatError, match="64_64"):
        source.load()


def test_a_folder_of_slides_is_one_source(study):
    source = find_slides(study, size=64, **ALL)
    assert repr(source) == f"SlideSource({study.name!r}, 27 tiles of 3 slides)"
    assert (len(source), source.shape, source.skipped, source.split) == (27, (64, 64, 3), (), None)
    assert source.ids[[0, 1, -1]].tolist() == ["a.tiff/0_0", "a.tiff/64_0", "deep/c.svs/128_192"]
    assert list(source.columns) == ["slide", "x", "y", "size", "mpp"]
    slides, counts = np.unique(source.columns["slide"], return_counts=True)
    assert dict(zip(slides.tolist(), counts.tolist(), strict=True)) == {
        "a.tiff": 9,
        "b.tif": 6,
        "deep/c.svs": 12,
    }
    assert source.columns["x"].dtype.kind == source.columns["y"].dtype.kind == "i"
    assert set(source.columns["size"].tolist()) == {64}
    assert source.columns["mpp"] == pytest.approx(0.5)


def test_reading_gives_each_tile_its_pixels_in_any_order_and_thread(study):
    source = find_slides(study, size=64, **ALL)
    images = {name: tifffile.imread(study / name) for name in ("a.tiff", "b.tif", "deep/c.svs")}
    corners = zip(*(source.columns[name].tolist() for name in ("slide", "x", "y")), strict=True)
    truth = np.array([images[slide][y : y + 64, x : x + 64] for slide, x, y in corners])
    order = np.random.default_rng(0).permutation(len(source))
    for indices in (order, slice(3, 20, 2), order > 12, [-1, 0], []):
        np.testing.assert_array_equal(source.read(indices), truth[indices])
    with ThreadPoolExecutor(4) as pool:
        for tiles in pool.map(source.read, [order] * 8):
            np.testing.assert_array_equal(tiles, truth[order])
    loaded = source.load()
    np.testing.assert_array_equal(loaded.images, truth)
    assert loaded.ids.tolist() == source.ids.tolist()
    assert loaded.columns.keys() == source.columns.keys()
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(order), truth[order])
    with pytest.raises(IndexError, match="out of bounds"):
        source.read([len(source)])


def test_labels_and_columns_are_added_and_the_stamp_tells_changes(study):
    source = find_slides(study, size=64, **ALL)
    labelled = replace(source, labels=["x"] * 27, columns={"patient": np.arange(27)})
    assert labelled.labels.tolist() == ["x"] * 27
    assert set(labelled.columns) == {"patient", "slide", "x", "y", "size", "mpp"}
    assert "labelled" in repr(labelled)
    with pytest.raises(DataError, match="26 labels for 27 images"):
        replace(source, labels=["x"] * 26)
    assert source.stamp() == labelled.stamp() == find_slides(study, size=64, **ALL).stamp()
    assert source.stamp() != find_slides(study, size=64, overlap=8, **ALL).stamp()
    before = source.stamp()
    os.utime(study / "a.tiff", (0, 0))
    assert source.stamp() != before


def test_mpp_is_masked_where_it_is_not_known_and_left_out_where_it_never_is(study):
    write_slide(study / "d.tif", noise(64, 64))
    columns = find_slides(study, size=64, **ALL).columns
    assert np.ma.getmaskarray(columns["mpp"]).tolist() == (columns["slide"] == "d.tif").tolist()
    assert "mpp" not in find_slides(study / "d.tif", size=64, **ALL).columns
    assert find_slides(study / "d.tif", size=64, slide_mpp=0.3, **ALL).columns["mpp"].tolist() == [0.3]


def test_a_slide_that_cannot_be_planned_is_an_error_or_listed(study):
    (study / "broken.svs").write_bytes(b"no slide at all")
    write_slide(study / "no_mpp.tif", noise())
    with pytest.raises(FileFormatError, match=r"broken\.svs must be a slide that OpenSlide reads"):
        find_slides(study, size=64, mpp=0.5, **ALL)
    source = find_slides(study, size=64, mpp=0.5, skip_unreadable=True, **ALL)
    assert len(source) == 27
    assert [name for name, _ in source.skipped] == ["broken.svs", "no_mpp.tif"]
    assert "must tell its microns per pixel" in source.skipped[1][1]
    (study / "broken.svs").unlink()
    with pytest.raises(DataError, match=r"no_mpp\.tif must tell its microns per pixel"):
        find_slides(study, size=64, mpp=0.5, **ALL)


def test_slides_without_tissue_are_listed_and_where_there_is_none_at_all_it_is_said(study):
    write_slide(study / "blank.tif", np.full((128, 128, 3), 245, np.uint8))
    source = find_slides(study, size=64)
    assert source.skipped == (("blank.tif", "no tile with at least 50% tissue"),)
    with pytest.raises(
        DataError, match=r"blank\.tif must give at least one tile\. Received none, .* 50% tissue"
    ):
        find_slides(study / "blank.tif", size=64)


def test_options_are_checked_before_any_slide_is_opened(tmp_path):
    with pytest.raises(OptionError, match="size must be an integer"):
        find_slides(tmp_path / "gone", size=-1)
    with pytest.raises(FileFormatError, match="gone must exist"):
        find_slides(tmp_path / "gone")
    with pytest.raises(
        DataError, match=r"must hold slides\. Received no slide file\. Known suffixes are \.svs"
    ):
        find_slides(tmp_path)


def test_links_out_of_the_folder_are_refused(study, tmp_path_factory):
    outside = write_slide(tmp_path_factory.mktemp("outside") / "x.tif", noise())
    (study / "inner.tif").symlink_to(study / "a.tiff")
    assert len(find_slides(study, size=64, **ALL)) == 36
    (study / "link.tif").symlink_to(outside)
    with pytest.raises(
        FileFormatError, match=r"must lead to a file in that folder\. Received the link .*link\.tif"
    ):
        find_slides(study, size=64, **ALL)


def test_no_thread_is_left_behind(study):
    before = threading.active_count()
    find_slides(study, size=64).load()
    assert threading.active_count() == before
