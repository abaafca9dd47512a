"""HDF5 and NPY files whose images stay there."""

import multiprocessing
import os
import tracemalloc
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from caescope.data import find_source, hdf5, open_source
from caescope.data.hdf5 import Hdf5Stack
from caescope.data.mapped import MappedSource
from caescope.errors import DataError, FileFormatError

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


class Watched:
    """A stack of the numbers 0 to n - 1, as images of one pixel, that notes what is read of it."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path, n, together):
        self.path, self.shape, self.together, self.seen = path, (n, 1, 1), together, []

    def read(self, rows):
        self.seen.append((int(rows.start), int(rows.stop)))
        return np.arange(rows.start, rows.stop, dtype=np.uint8)[:, None, None]


@pytest.mark.parametrize(
    ("together", "indices", "expected"),
    [
        (1, [0, 1, 2, 7, 8, 20], [(0, 3), (7, 9), (20, 21)]),
        (1, [8, 2, 7, 2], [(2, 3), (7, 9)]),
        (5, [0, 4, 5, 13, 14, 22], [(0, 6), (13, 15), (22, 23)]),
        (5, [12, 0, 3], [(0, 4), (12, 13)]),
        (5, slice(None), [(0, 20), (20, 30)]),
        (1, [], []),
    ],
)
def test_what_lies_together_is_read_together_and_once(tmp_path, monkeypatch, together, indices, expected):
    monkeypatch.setattr("caescope.data.mapped.BLOCK_BYTES", 20)
    stack = Watched(tmp_path / "a", 30, together)
    found = MappedSource(stack).read(indices)
    assert found.ravel().tolist() == np.arange(30)[indices].tolist()
    assert stack.seen == expected


def test_more_images_than_an_order_has_room_for_are_refused(tmp_path):
    stack = Watched(tmp_path / "a", 2**27 + 1, 1)
    with pytest.raises(
        DataError, match=r"a must hold at most 134,217,728 images\. Received 134,217,729\. Split"
    ):
        MappedSource(stack)
    assert stack.seen == []


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("key", ["images", "x", "X"])
@pytest.mark.parametrize("labels", [{}, {"y": range(6)}, {"labels": list("abcabc")}])
def test_keys_of_hdf5_files(tmp_path, key, labels):
    source = find_source(write(tmp_path / "a.any", other=[1, 2], **{key: IMAGES}, **labels))
    size = "4×5×1, uint8, labelled" if labels else "4×5×1, uint8"
    assert repr(source) == f"MappedSource('a.any', 6 images of {size})"
    assert source.ids.tolist() == list("012345")
    expected = next((list(values) for values in labels.values()), None)
    assert (None if source.labels is None else source.labels.tolist()) == expected
    assert find_source(source, labels=range(6, 12)).labels.tolist() == list(range(6, 12))


@pytest.mark.usefixtures("in_either_process")
def test_labels_may_have_axes_of_length_one(tmp_path):
    source = find_source(write(tmp_path / "a.h5", x=IMAGES, y=np.arange(6).reshape(6, 1, 1, 1)))
    assert source.labels.tolist() == list(range(6))


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize(
    ("datasets", "error", "message"),
    [
        ({}, FileFormatError, r"images under one of the keys x, X, images. Received the keys \(none\)"),
        ({"tiles": IMAGES}, FileFormatError, "Received the keys tiles"),
        (
            {"x": IMAGES, "images": IMAGES},
            FileFormatError,
            "must hold one of x, X, images. Received x and imag",
        ),
        ({"x": IMAGES, "y": [1] * 6, "labels": [1] * 6}, FileFormatError, "one of y, labels"),
        ({"x": IMAGES.astype(np.int32)}, FileFormatError, "images of uint8, or of floats.*Received int32"),
        ({"x": np.array([b"ab"] * 6)}, FileFormatError, r"Received \|S2"),
        ({"x/y": IMAGES}, FileFormatError, "all values of x itself. Received a group"),
        ({"x": np.uint8(5)}, FileFormatError, "Received an empty dataset"),
        ({"x": IMAGES[:0]}, FileFormatError, "Received an empty dataset"),
        ({"x": IMAGES.reshape(6, 20)}, DataError, r"images of a.h5 must have shape.*\(6, 20\)"),
        ({"x": IMAGES.reshape(6, 2, 5, 2)}, DataError, r"must have 1 channel.*\(6, 2, 5, 2\)"),
        ({"x": IMAGES, "y": [1] * 5}, FileFormatError, r"one value of y for each of its 6.*shape \(5,\)"),
        ({"x": IMAGES, "y": np.ones((6, 2))}, FileFormatError, r"shape \(6, 2\)"),
        (
            {"x": IMAGES, "y": np.ones(6, complex)},
            FileFormatError,
            "numbers or short strings. Received complex",
        ),
        ({"x": IMAGES, "y": np.array([b"a" * 2000] * 6)}, FileFormatError, "short strings"),
        ({"x": IMAGES, "y": ["a" * 2000] * 6}, FileFormatError, "short strings. Received longer ones"),
        ({"x": IMAGES, "y": [np.inf] * 6}, DataError, "labels must be strings"),
    ],
    ids=lambda value: None if isinstance(value, type) else ",".join(value) if isinstance(value, dict) else "",
)
def test_hdf5_files_that_do_not_fit(tmp_path, datasets, error, message):
    with pytest.raises(error, match=message):
        find_source(write(tmp_path / "a.h5", **datasets))


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("key", ["x", "y"])
def test_nothing_outside_the_hdf5_file_is_read(tmp_path, key):
    """Each of these would read the other file."""
    other = write(tmp_path / "other.h5", x=IMAGES, y=np.arange(6))
    (tmp_path / "raw").write_bytes(bytes(range(120)))
    shape = IMAGES.shape if key == "x" else (6,)
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[...] = h5py.VirtualSource(other, key, shape)
    makers = {
        "a link": lambda file: file.__setitem__(key, h5py.ExternalLink(other, key)),
        "a virtual dataset": lambda file: file.create_virtual_dataset(key, layout),
        "external storage": lambda file: file.create_dataset(
            key, shape, np.uint8, external=[(str(tmp_path / "raw"), 0, 120)]
        ),
    }
    soft = lambda file: file.__setitem__(key, h5py.SoftLink("/elsewhere"))  # noqa: E731
    for received, make in [*makers.items(), ("a link", soft)]:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            make(file)
            file["elsewhere"] = IMAGES
            if key == "y":
                file["x"] = IMAGES
        with pytest.raises(FileFormatError, match=f"all values of {key} itself. Received {received}"):
            find_source(tmp_path / "a.h5")


@pytest.mark.usefixtures("in_either_process")
@pytest.mark.parametrize("chunks", [None, (1, 4, 5), (4, 4, 5)])
def test_images_that_were_never_written(tmp_path, chunks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", (6, 4, 5), np.uint8, chunks=chunks)
        if chunks:
            dataset[:4] = 1
    with pytest.raises(FileFormatError, match=r"x itself. Received values that were never written"):
        find_source(tmp_path / "a.h5")


@pytest.mark.usefixtures("in_either_process")
def test_chunks_that_would_fill_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=IMAGES, chunks=(5, 4, 1))
    assert len(find_source(tmp_path / "a.h5")) == 6
    shape = (300, 1024, 1024)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        dataset = file.create_dataset("x", shape, np.uint8, chunks=shape, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), bytes(10**6))
    with pytest.raises(FileFormatError, match=r"images together. Received 300 MiB in chunks of 300 images"):
        find_source(tmp_path / "b.h5")


@pytest.mark.usefixtures("in_either_process")
def test_more_values_than_can_have_been_packed(tmp_path):
    """A filter that needs 21 bytes for any number of equal values."""
    shape = (100, 1000, 1000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", shape, np.uint8, chunks=shape, scaleoffset=0)
        dataset.id.write_direct_chunk((0, 0, 0), bytes(21))
    with pytest.raises(
        FileFormatError, match=r"x itself. Received 100,000,000 bytes of values in a file of "
    ):
        find_source(tmp_path / "a.h5")


def test_damaged_hdf5_files(tmp_path):
    path = write(tmp_path / "a.h5", x=np.random.default_rng(0).random((50, 9, 9)))
    whole = path.read_bytes()
    for content in (whole[:8], whole[:900], whole[:-100], whole[:8] + b"\xff" * 200 + whole[208:]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="must be readable as an HDF5 file of images"):
            find_source(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=IMAGES, compression="gzip", chunks=(1, 4, 5))
        place = file["x"].id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    source = find_source(path)
    np.testing.assert_array_equal(source.read([0, 5])[..., 0], IMAGES[[0, 5]])
    with pytest.raises(FileFormatError, match="must be readable as an HDF5 file of images"):
        source.read([3])


@pytest.mark.parametrize("name", ["a.npy", "a.h5"])
def test_floats_are_checked_when_they_are_read(tmp_path, name):
    images = np.full((6, 4, 5), 0.5)
    images[4] = 1.5
    np.save(tmp_path / "a.npy", images)
    write(tmp_path / "a.h5", x=images)
    source = find_source(tmp_path / name)
    assert source.read([0, 5, 3]).dtype == np.float32
    for read in (lambda: source.read(slice(3, 6)), lambda: open_source(tmp_path / name)):
        with pytest.raises(DataError, match=rf"Pixels of images of {name} must lie in \[0, 1\].*to 1.5"):
            read()


def test_an_npy_file_that_shrinks_is_an_error_and_not_a_crash(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, IMAGES)
    source = find_source(path)
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(source.read([4])[0, ..., 0], IMAGES[4])
    with pytest.raises(FileFormatError, match=r"a.npy must be readable as an NPY file.*fewer bytes"):
        source.read([5])
    path.unlink()
    with pytest.raises(FileFormatError, match="FileNotFoundError"):
        source.read([0])


def test_npy_files_of_labels_are_no_images(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros(6, np.uint8))
    with pytest.raises(DataError, match=r"images of y.npy must have shape.*\(6,\)"):
        find_source(tmp_path / "y.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.h5"])
def test_a_few_images_take_the_memory_of_a_few(tmp_path, name):
    images = np.zeros((3000, 32, 32, 3), np.uint8)  # 9 MB
    np.save(tmp_path / "a.npy", images)
    write(tmp_path / "a.h5", x=images)
    source = find_source(tmp_path / name)
    source.read([0])
    tracemalloc.start()
    try:
        for start in range(0, 3000, 100):
            source.read(slice(start, start + 100))
        assert tracemalloc.get_traced_memory()[1] < 8 * images[:100].nbytes
    finally:
        tracemalloc.stop()


def test_another_process_opens_the_file_for_itself(tmp_path):
    source: Any = find_source(write(tmp_path / "a.h5", x=IMAGES))
    source.read([0])
    reader = source.stack._reader
    source.stack._process = -1  # as it is seen by a process that was forked
    np.testing.assert_array_equal(source.read([2])[0, ..., 0], IMAGES[2])
    assert source.stack._reader is not reader
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(source.read, ([5, 1],))[..., 0], IMAGES[[5, 1]])


def test_nothing_is_asked_for_where_nothing_is_wanted(tmp_path, monkeypatch):
    stack = Hdf5Stack(write(tmp_path / "a.h5", x=IMAGES))
    stack._reader.process.kill()
    assert stack.read(slice(4, 4)).shape == (0, 4, 5)


def message(content: bytes) -> bytes:
    return b"A" + len(content).to_bytes(8, "little") + content


DESCRIPTION = message(b'{"shape": [6, 4, 5], "dtype": "|u1", "together": 1, "labels": null}')


@pytest.mark.parametrize(
    "answers",
    [[b"SA\x09\0\0\0\0\0\0\0{"], [b"S" + DESCRIPTION, message(b"") + b"abc"], [b"S" + DESCRIPTION, b"A\0\0"]],
    ids=["description", "images", "length"],
)
def test_an_answer_that_is_cut_off_is_no_answer(tmp_path, monkeypatch, answers):
    """Each answer is given to a line of the questions, the first one to none."""
    say = "sys.stdout.buffer.write({!r}); sys.stdout.flush()"
    code = "import sys; " + "; sys.stdin.readline(); ".join(map(say.format, answers))
    monkeypatch.setattr("caescope.isolation._CHILD", code.replace("{", "{{").replace("}", "}}"))
    path = write(tmp_path / "a.h5", x=IMAGES)
    with pytest.raises(FileFormatError, match=r"a\.h5 must be readable as .* reader stopped \(status 0\)"):
        find_source(path).read([1])


def test_a_forked_process_leaves_the_reader_to_the_one_that_started_it():
    process: Any = SimpleNamespace(returncode=None)  # and without kill()
    hdf5._end(process, os.getpid() + 1)
    assert process.returncode == 0  # which keeps subprocess from waiting for it
