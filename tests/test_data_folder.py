import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import loky
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caescope import processes
from caescope.data import find_source, folder, load_folder, open_source
from caescope.data.fitting import Fit
from caescope.data.folder import find_folder
from caescope.data.image_file import pillow_silence, read_pixels, read_shape
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.parallel import blocks_of, map_in_order, use_cores
from caescope.processes import have_processes, in_process

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY.T.reshape(3, 4), 255 - GREY], axis=-1)


def save(path, pixels: Any = GREY, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    (image.convert(mode) if mode else image).save(path, **options)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("tif", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("bmp", {}),
        ("webp", {"lossless": True}),
    ],
)
def test_lossless_formats_keep_every_pixel(tmp_path, suffix, options):
    save(tmp_path / f"a.{suffix}", COLOUR, **options)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0], COLOUR)


def test_jpeg_is_close(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    save(tmp_path / "a.JPG", flat, quality=95)
    assert np.abs(load_folder(tmp_path).images[0].astype(int) - flat).max() <= 3


def test_sub_folders_are_classes_and_ids_are_sorted_paths(tmp_path):
    for i, name in enumerate(["dog/b.png", "cat/z.png", "cat/deep/er.png", "dog/a.png"]):
        save(tmp_path / name, np.full((3, 4), i, np.uint8))
    (tmp_path / "empty").mkdir()
    source = load_folder(tmp_path)
    assert source.ids.tolist() == ["cat/deep/er.png", "cat/z.png", "dog/a.png", "dog/b.png"]
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog"]
    assert source.images[:, 0, 0, 0].tolist() == [2, 1, 3, 0]
    assert source.name == tmp_path.name
    assert source.split is None


def test_hidden_and_other_files_are_left_out(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / ".b.png")
    save(tmp_path / ".cache" / "c.png")
    (tmp_path / "labels.csv").write_text("id,label\na.png,x\n")
    os.mkfifo(tmp_path / "pipe.png")
    source = load_folder(tmp_path)
    assert source.ids.tolist() == ["a.png"]
    assert source.labels is None
    assert source.shape == (3, 4, 1)


@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        (GREY, "L", GREY),
        ((GREY > 100), None, (GREY > 100) * np.uint8(255)),
        (GREY.astype(np.uint16) * 257, None, GREY),
        (GREY.astype(np.int32) * 257, None, GREY),
        (GREY, "LA", GREY),
    ],
    ids=["L", "1", "I;16", "I", "LA"],
)
def test_grey_modes_give_one_channel(tmp_path, pixels, mode, expected):
    save(tmp_path / "a.tiff" if pixels.dtype == np.int32 else tmp_path / "a.png", pixels, mode)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0, ..., 0], expected)


def test_palette_cmyk_and_mixed_folders_give_rgb(tmp_path):
    palette = Image.fromarray(COLOUR).quantize(16)
    save(tmp_path / "a.png", palette)
    save(tmp_path / "b.tif", COLOUR, "CMYK")
    save(tmp_path / "c.png", GREY)
    images = load_folder(tmp_path).images
    np.testing.assert_array_equal(images[0], np.asarray(palette.convert("RGB")))
    assert np.abs(images[1].astype(int) - COLOUR).max() <= 1
    np.testing.assert_array_equal(images[2], np.repeat(GREY[..., None], 3, axis=2))


def test_transparency_is_put_on_white(tmp_path):
    alpha = np.full((3, 4, 1), 255, np.uint8)
    alpha[0] = 0
    save(tmp_path / "rgba.png", np.concatenate([COLOUR, alpha], axis=-1))
    palette = Image.fromarray(np.zeros((3, 4), np.uint8)).convert("P")
    save(tmp_path / "palette.png", palette, transparency=0)
    palette_image, rgba = load_folder(tmp_path).images
    assert (rgba[0] == 255).all()
    np.testing.assert_array_equal(rgba[1:], COLOUR[1:])
    assert (palette_image == 255).all()


@pytest.mark.parametrize(
    ("orientation", "expected"), [(3, GREY[::-1, ::-1]), (6, np.rot90(GREY, -1)), (1, GREY)]
)
def test_exif_orientation_is_applied(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0, ..., 0], expected)


def test_mixed_sizes_name_the_commonest_and_an_offender(tmp_path):
    for name in ("a.png", "c.png"):
        save(tmp_path / name)
    save(tmp_path / "b.png", GREY.reshape(2, 6))
    with pytest.raises(
        DataError, match=r"2 of 3 with 3×4 pixels .* but b.png with 2×6.*resize=\(3, 4\).*crop"
    ):
        load_folder(tmp_path)


def test_loose_images_beside_classes(tmp_path):
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "loose.png")
    with pytest.raises(DataError, match=r"1 images outside, for example loose.png"):
        load_folder(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match=r"no image file.*\.png, \.jpg"):
        load_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no image file"):
        open_source(tmp_path)
    for name in ("nowhere", "notes.txt"):
        with pytest.raises(FileFormatError, match="no such folder"):
            load_folder(tmp_path / name)


def png_with_size(width: int, height: int) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "content", "received"),
    [
        ("a.png", b"", "UnidentifiedImageError"),
        ("a.jpg", b"not an image", "UnidentifiedImageError"),
        ("a.png", b"GIF89a" + bytes(40), "UnidentifiedImageError"),
        ("a.bmp", b"BM" + bytes(60), "Error"),
        ("a.tif", b"II*\0" + b"\xff" * 60, "Error"),
        ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "Error"),
        ("a.png", png_with_size(60_000, 60_000), "DecompressionBombError"),
        ("a.png", png_with_size(10_000, 10_000), "DecompressionBombWarning"),
        ("a.png", png_with_size(10, 10), "Error"),
    ],
)  # fmt: skip
def test_unreadable_images_and_pixel_bombs(tmp_path, name, content, received):
    save(tmp_path / "0.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=f"{name} must be readable.*{received}"):
        load_folder(tmp_path)


def test_truncated_and_float_images(tmp_path, rng):
    save(tmp_path / "a.jpeg", rng.integers(0, 256, (64, 64, 3), np.uint8))
    content = (tmp_path / "a.jpeg").read_bytes()
    (tmp_path / "a.jpeg").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"a.jpeg must be readable.*truncated"):
        load_folder(tmp_path)
    (tmp_path / "a.jpeg").unlink()
    save(tmp_path / "b.tif", GREY.astype(np.float32))
    with pytest.raises(FileFormatError, match="floating-point pixels"):
        load_folder(tmp_path)
    save(tmp_path / "b.tif", GREY.astype(np.int32) - 5)
    with pytest.raises(FileFormatError, match=r"outside \[0, 65535\]"):
        load_folder(tmp_path)


def test_links_may_not_lead_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(root / "a.png")
    save(outside / "secret.png")
    (root / "inner.png").symlink_to(root / "a.png")
    (root / "readme.txt").symlink_to(outside / "anything")
    assert load_folder(root).ids.tolist() == ["a.png", "inner.png"]
    for name, target in [
        ("b.png", outside / "secret.png"),
        ("folder", outside),
        ("up", tmp_path),
        ("self", root),
    ]:
        (root / name).symlink_to(target)
        with pytest.raises(FileFormatError, match=f"must lead to a file in that folder.*{name}"):
            load_folder(root)
        (root / name).unlink()
    (tmp_path / "alias").symlink_to(root)
    assert len(load_folder(tmp_path / "alias")) == 2


# --- images that stay in their files


def save_many(folder, n=20):
    """Save images each of which holds its own number, in two classes."""
    for i in range(n):
        save(folder / "ab"[i % 2] / f"{i:02d}.png", np.full((3, 4), i, np.uint8))
    return folder


@pytest.mark.parametrize(
    "indices",
    [slice(None), slice(3, 9), [7, 0, 7], np.arange(20) % 3 == 0],
    ids=["all", "slice", "list", "mask"],
)
def test_a_folder_source_reads_what_is_in_memory(tmp_path, indices):
    source, loaded = find_source(save_many(tmp_path)), load_folder(tmp_path)
    assert repr(source) == f"FolderSource({tmp_path.name!r}, 20 images, labelled)"
    assert (len(source), source.shape, source.name, source.split) == (20, (3, 4, 1), loaded.name, None)
    np.testing.assert_array_equal(source.ids, loaded.ids)
    np.testing.assert_array_equal(source.labels, loaded.labels)
    np.testing.assert_array_equal(source.read(indices), loaded.read(indices))
    np.testing.assert_array_equal(open_source(tmp_path).images, loaded.images)


def test_a_folder_source_takes_other_labels(tmp_path):
    source = find_source(save_many(tmp_path), labels=range(20))
    assert source.labels.tolist() == list(range(20))
    assert find_source(source) is source
    with pytest.raises(DataError, match="labels must hold one value for each image"):
        find_source(tmp_path, labels=[1, 2])


def test_grey_files_among_colour_are_read_as_colour(tmp_path):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", COLOUR)
    images = find_folder(tmp_path).read([0])
    np.testing.assert_array_equal(images[0], np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_headers_tell_the_shape_of_the_pixels(tmp_path, suffix, orientation, turns, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / f"a.{suffix}", pixels, exif=exif)
    read, upright = read_pixels(tmp_path / f"a.{suffix}"), np.rot90(pixels, turns)
    height, width, channels = read_shape(tmp_path / f"a.{suffix}")
    assert (height, width) == read.shape[:2] == upright.shape[:2]
    assert channels == (3 if read.ndim == 3 else 1)
    if suffix in ("png", "tif"):  # the others lose some
        np.testing.assert_array_equal(read, upright)


def test_headers_alone_tell_mixed_sizes_and_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.data.folder.read_pixels", None)
    for name in ("a.png", "c.png"):
        save(tmp_path / name)
    save(tmp_path / "b.png", GREY.reshape(2, 6))
    with pytest.raises(DataError, match=r"2 of 3 with 3×4 pixels .* but b.png with 2×6"):
        _ = find_folder(tmp_path).shape
    (tmp_path / "b.png").write_bytes(png_with_size(10_000, 10_000))
    with pytest.raises(FileFormatError, match=r"b.png must be readable.*DecompressionBombWarning"):
        _ = find_folder(tmp_path).shape


def test_a_file_that_changed_since_its_header_was_read(tmp_path):
    source = find_folder(save_many(tmp_path))
    assert source.shape == (3, 4, 1)
    save(tmp_path / "b" / "07.png", GREY.reshape(2, 6))
    with pytest.raises(DataError, match=r"the headers with 3×4 pixels .* but b/07.png with 2×6"):
        source.read([13])


def test_the_first_damaged_file_in_order_is_named(tmp_path):
    save_many(tmp_path, 60)
    for name in ("b/41.png", "a/50.png", "b/03.png"):
        (tmp_path / name).write_bytes(png_with_size(4, 3))
    for _ in range(5):
        with pytest.raises(FileFormatError, match=r"a/50.png must be readable"):
            load_folder(tmp_path)


def test_a_folder_is_decoded_by_several_threads(tmp_path, monkeypatch):
    together = threading.Barrier(2, timeout=20)  # breaks unless two threads are inside at once

    def read(path):
        together.wait()
        return read_pixels(path)

    monkeypatch.setattr("caescope.data.folder.read_pixels", read)
    monkeypatch.setattr("caescope.parallel.count_cores", lambda: 2)
    assert load_folder(save_many(tmp_path, 16)).images[:, 0, 0, 0].tolist() == [
        *range(0, 16, 2),
        *range(1, 16, 2),
    ]


@pytest.fixture
def elsewhere(monkeypatch) -> list[Any]:
    """What other processes are asked to do; twenty files are many enough for it."""
    asked = []

    def watched(function, *arguments):
        asked.append(function.__name__)
        return in_process(function, *arguments)

    monkeypatch.setattr(folder, "MANY", 20)
    monkeypatch.setattr(folder, "in_process", watched)
    monkeypatch.setattr(folder, "have_processes", lambda: True)
    return asked


@pytest.mark.parametrize("fit", [None, Fit(resize=2)])
def test_many_small_images_are_read_by_other_processes(tmp_path, elsewhere, fit):
    for i in range(20):
        save(tmp_path / f"class {i % 2}" / f"{i:02d}.png", GREY + np.uint8(i))
    columns = {"patient": np.arange(20)}
    source = replace(find_folder(tmp_path), fit=fit, columns=columns, split=["train", "test"] * 10)
    assert source.shape == ((3, 4, 1) if fit is None else (2, 2, 1))
    rows = np.array([3, 19, 0, *range(12)])
    images = source.read(rows)
    assert elsewhere == ["_each", "_read_names"]
    np.testing.assert_array_equal(images, np.concatenate([source.read([row]) for row in rows]))
    assert elsewhere == ["_each", "_read_names"]  # a few are read here
    np.testing.assert_array_equal(source.load().images[rows], images)
    assert source.scan() == []
    assert elsewhere == ["_each", "_read_names", "_each", "_each"]


def test_large_images_are_read_here(tmp_path, elsewhere):
    for i in range(20):
        save(tmp_path / f"{i:02d}.png", np.full((150, 100), i, np.uint8))
    source = find_folder(tmp_path)
    source.read(slice(None))
    source.load()
    assert elsewhere == ["_each"]  # for the headers


def test_what_is_wrong_elsewhere_is_said_as_here(tmp_path, elsewhere):
    for i in range(20):
        save(tmp_path / f"{i:02d}.png")
    source = find_folder(tmp_path)
    assert source.shape == (3, 4, 1)
    content = (tmp_path / "11.png").read_bytes()
    (tmp_path / "11.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"11\.png must be readable") as there:
        source.read(slice(None))
    with pytest.raises(FileFormatError) as here:
        source.read([11])
    assert str(there.value) == str(here.value)
    assert source.scan() == [("11.png", here.value.received)]
    save(tmp_path / "11.png", np.zeros((5, 4), np.uint8))
    with pytest.raises(DataError, match=r"11\.png"):
        source.read(slice(None))
    assert len(elsewhere) == 4


def test_a_process_that_ends_is_said_and_replaced():
    with pytest.raises(DataError, match="must live until it has read them"):
        in_process(os._exit, 1)
    assert in_process(len, "abc") == 3


def test_threads_that_ask_at_once_share_the_processes(monkeypatch):
    made = []

    def slowly(*arguments, **options):
        made.append(arguments)
        time.sleep(0.1)
        return loky.ProcessPoolExecutor(*arguments, **options)

    monkeypatch.setitem(sys.modules, "loky", SimpleNamespace(ProcessPoolExecutor=slowly))
    processes._pool.cache_clear()
    assert list(map_in_order(lambda _: in_process(len, "abc"), range(8), threads=4)) == [3] * 8
    assert len(made) == 1


FORKED = """
import os, sys
from caescope.processes import in_process
assert in_process(len, "abc") == 3
child = os.fork()
if child == 0:
    os._exit(in_process(len, "abcd"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_forked_has_processes_of_its_own():
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # the child's processes outlive it
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60, **quiet).returncode == 4


def test_other_processes_leave_interrupts_to_this_one():
    assert in_process(signal.getsignal, signal.SIGINT) == signal.SIG_IGN


def test_one_core_reads_alone(monkeypatch):
    monkeypatch.setattr("caescope.parallel._most_cores", None)
    use_cores(1)
    assert not have_processes()


def test_results_come_in_order_and_work_stays_close_ahead():
    started = []
    for taken, result in enumerate(map_in_order(lambda i: started.append(i) or i, range(50), threads=3)):
        assert result == taken
        assert len(started) <= taken + 1 + 6
    assert sorted(started) == list(range(50))


def test_a_failure_comes_in_its_turn_and_ends_the_work():
    started = []

    def work(i):
        started.append(i)
        if i in (4, 5):
            raise ValueError(i)
        return i

    results = map_in_order(work, range(100), threads=2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="4"):
        next(results)
    assert len(started) < 12


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (3, 3), (7, 3)])
def test_blocks_cover_everything_once(n, size):
    blocks = [list(range(n)[block]) for block in blocks_of(n, size)]
    assert [i for block in blocks for i in block] == list(range(n))
    assert all(0 < len(block) <= size for block in blocks)


def test_warnings_are_as_before_when_all_threads_have_read():
    before = list(warnings.filters)
    inside, leave = threading.Barrier(2, timeout=20), threading.Event()

    def reader():
        with pillow_silence:
            inside.wait()
            leave.wait(20)

    thread = threading.Thread(target=reader)
    with pillow_silence:  # the first to come is not the last to go
        thread.start()
        inside.wait()
    assert warnings.filters != before
    leave.set()
    thread.join()
    assert warnings.filters == before


# --- sizes made one, and images that cannot be read


def test_mixed_sizes_are_made_one_while_they_are_read(tmp_path):
    save(tmp_path / "a.png", np.kron(GREY, np.ones((2, 2), np.uint8)))
    save(tmp_path / "b.png", GREY)
    save(tmp_path / "c.png", np.pad(COLOUR, [(1, 2), (3, 3), (0, 0)]))
    source = find_source(tmp_path, fit=Fit(resize=(3, 4), grey=True))
    assert source.shape == (3, 4, 1)
    np.testing.assert_array_equal(source.read([0, 1])[..., 0], [GREY, GREY])
    cut = find_source(tmp_path, fit=Fit(crop=(3, 4)))
    assert cut.shape == (3, 4, 3)
    np.testing.assert_array_equal(cut.read([2])[0], COLOUR)
    np.testing.assert_array_equal(open_source(tmp_path, fit=Fit((3, 4))).images[1, ..., 0], GREY)
    with pytest.raises(
        DataError, match=r"at least the 4×4 pixels .* of crop. Received b.png with 3×4.*resize"
    ):
        _ = find_source(tmp_path, fit=Fit(crop=4)).shape
    with pytest.raises(DataError, match=r"b.png with 3×4"):
        open_source(tmp_path, fit=Fit(crop=4))


def with_damage(folder: Path) -> Path:
    """Damage three of twenty images, each in a way of its own."""
    save_many(folder)
    (folder / "a" / "04.png").write_bytes(png_with_size(4, 3))  # whose header is whole
    (folder / "b" / "07.png").write_bytes(b"")
    (folder / "b" / "09.png").write_text("some text")
    return folder


def test_a_scan_finds_all_that_cannot_be_read(tmp_path):
    source = find_folder(with_damage(tmp_path))
    (truncated, reason), *others = source.scan()
    assert truncated == "a/04.png"
    assert "truncated" in reason
    assert others == [
        ("b/07.png", "UnidentifiedImageError: an empty file"),
        ("b/09.png", "UnidentifiedImageError: content of another kind"),
    ]
    assert source.take(slice(4, 10)).take([0, 1]).scan() == []


@pytest.mark.parametrize("share", [0.15, 0.2, 1])
def test_a_share_of_unreadable_images_is_left_out_and_listed(tmp_path, share):
    labels = [*range(19), None]
    source: Any = find_source(with_damage(tmp_path), labels, skip_unreadable=share)
    assert [name for name, _ in source.skipped] == ["a/04.png", "b/07.png", "b/09.png"]
    assert source.read(slice(None))[:, 0, 0, 0].tolist() == [
        0,
        2,
        *range(6, 20, 2),
        1,
        3,
        5,
        *range(11, 20, 2),
    ]
    assert source.labels.tolist() == [0, 1, *range(3, 13), 15, 16, 17, 18, None]
    assert len(open_source(tmp_path, skip_unreadable=share)) == 17
    assert replace(source, labels=None).skipped == source.skipped


def test_nothing_is_left_out_where_all_can_be_read(tmp_path):
    save_many(tmp_path)
    source: Any = find_source(tmp_path, skip_unreadable=0.5)
    assert (len(source), list(source.skipped)) == (20, [])


@pytest.mark.parametrize("share", [0, 0.1, 0.149])
def test_more_unreadable_images_are_an_error_with_a_table(tmp_path, share):
    with pytest.raises(DataError, match="Received 3 of 20 images that cannot be read:") as error:
        open_source(with_damage(tmp_path), skip_unreadable=share)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("readable. Received 3 of 20 images that cannot be read:")
    assert lines[2] == "  b/07.png  UnidentifiedImageError: an empty file"
    assert lines[3].startswith(
        "  b/09.png  UnidentifiedImageError: content of another kind. Fetch them again"
    )


def test_the_table_has_ten_rows_at_most_and_the_rest_is_counted(tmp_path):
    for i in range(12):
        save(tmp_path / "good" / f"{i}.png")
        (tmp_path / "good" / f"bad{i:02d}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"At most 0.1 of .* unreadable. Received 12 of 24") as error:
        find_source(tmp_path, skip_unreadable=0.1)
    lines = str(error.value).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [f"good/bad{i:02d}.png" for i in range(10)]
    assert lines[-1].startswith("  and 2 more. ")


def test_when_no_image_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"At least one image .* Received 1 of 1"):
        find_source(tmp_path, skip_unreadable=1)


@pytest.mark.parametrize("share", [-0.1, 1.01, "many", True, float("nan")])
def test_shares_that_are_none(tmp_path, share):
    with pytest.raises(OptionError, match=r"skip_unreadable must be a share from 0 to 1. Received skip_unr"):
        find_source(tmp_path, skip_unreadable=share)


def test_sources_that_are_read_whole_have_nothing_to_skip():
    source = find_source(np.zeros((2, 4, 4)), skip_unreadable=0)
    assert len(source) == 2


# --- Fit


def test_shrinking_takes_the_mean_of_what_a_pixel_covers():
    pixels = np.array([[0, 10, 100, 200], [20, 30, 50, 50]], np.uint8)
    assert Fit(resize=(1, 2))(pixels)[..., 0].tolist() == [[15, 100]]
    as_floats = Fit(resize=(1, 2))((pixels / 200).astype(np.float32))
    np.testing.assert_allclose(as_floats[..., 0], [[0.075, 0.5]], atol=1e-6)


def test_a_crop_is_cut_from_the_centre_before_the_resize():
    pixels = np.arange(25, dtype=np.uint8).reshape(5, 5)
    assert Fit(crop=3)(pixels)[..., 0].tolist() == pixels[1:4, 1:4].tolist()
    assert Fit(crop=(2, 4))(pixels)[..., 0].tolist() == pixels[1:3, 0:4].tolist()
    assert Fit(crop=(1, 3), resize=1)(pixels).tolist() == [[[12]]]


def test_grey_is_the_luma():
    pure = np.eye(3, dtype=np.float32)[None]  # a red, a green and a blue pixel
    np.testing.assert_allclose(Fit(grey=True)(pure)[0, :, 0], [0.299, 0.587, 0.114])
    assert Fit(grey=True)((pure * 255).astype(np.uint8))[0, :, 0].tolist() == [76, 150, 29]
    assert Fit(grey=True)(GREY)[..., 0].tolist() == GREY.tolist()


sides = st.integers(1, 9)


@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(sides, sides), resize=st.tuples(sides, sides), channels=st.sampled_from([1, 3]), seed=sides
)
def test_any_image_gets_the_size_asked_for(size, resize, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    unit = (pixels / 255).astype(np.float32)
    fit = Fit(resize=resize)
    fitted, unit_fitted = fit(pixels), fit(unit)
    assert fitted.shape == unit_fitted.shape == fit.shape_of(pixels.shape) == (*resize, channels)
    assert (fitted.dtype, unit_fitted.dtype) == (np.uint8, np.float32)
    if resize <= size and resize[1] <= size[1]:  # the mean of bytes is rounded along each side
        assert np.abs(fitted - 255 * unit_fitted).max() <= 1.01
    assert 0 <= unit_fitted.min() <= unit_fitted.max() <= 1
    flat = np.full((*size, channels), 77, np.uint8)
    assert (fit(flat) == 77).all()
    assert Fit(resize=size)(pixels).tolist() == pixels.tolist()


@pytest.mark.parametrize("size", [0, -1, 2.5, "64", (1, 2, 3), (4, 0), True, 2**15 + 1])
@pytest.mark.parametrize("option", ["resize", "crop"])
def test_sizes_that_are_none(option, size):
    with pytest.raises(OptionError, match=f"{option} must be "):
        Fit(**{option: size})


def test_arrays_are_fitted_too_and_tiles_of_slides_are_not():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    assert find_source(images, fit=Fit(crop=2)).read([0])[0, ..., 0].tolist() == [[5, 6], [9, 10]]
    with pytest.raises(DataError, match=r"at least the 5×5 pixels .* Received every one with 4×4"):
        open_source(images, fit=Fit(crop=5))
    with pytest.raises(
        OptionError, match=r"resize, crop and grey are for images from.*Received them for tiles"
    ):
        find_source(SimpleNamespace(ids=[], read=None, load=None, name="tiles"), fit=Fit(2))


def test_real_tiles(shared_data):
    source = load_folder(shared_data / "lc25000")
    assert len(source) == 1231
    assert source.shape == (224, 224, 3)
    assert len(set(source.labels.tolist())) == 5
