import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from caescope.data import arrays, load_npy, load_npz, open_source
from caescope.data.arrays import read_npy_header
from caescope.errors import DataError, FileFormatError

IMAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)


def npy_bytes(header: str, data: bytes = b"", version=b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        np.asfortranarray(IMAGES),
        IMAGES.astype(">f4"),
        np.array(["cat", "dög"]),
        np.array([b"a", b"bc"]),
        np.array([True]),
        np.empty((0, 3)),
        np.array(7),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_npy_round_trip(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = load_npy(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"

    class Bomb:
        def __reduce__(self):
            return open, (str(trace), "w")

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=np.array([Bomb()], dtype=object))
    with pytest.raises(FileFormatError, match="dtype object"):
        load_npy(tmp_path / "a.npy")
    with pytest.raises(FileFormatError, match="dtype object"):
        load_npz(tmp_path / "a.npz")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileFormatError, match="an NPY file"):
        load_npy(tmp_path / "b.npy")
    assert not trace.exists()


def header(descr="'|u1'", shape="(4,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "ValueError"),
        (b"\x93NUMPY", "ValueError"),
        (npy_bytes(header(), b"123"), r"3 bytes for shape \(4,\) of uint8"),
        (npy_bytes(header(), b"12345"), "5 bytes"),
        (npy_bytes(header(shape="(2**62,)"), b"1234"), "readable as an NPY file"),
        (npy_bytes(header(shape="(4611686018427387904, 1024)"), b"1234"), "4 bytes for shape"),
        (npy_bytes(header(shape="(-4,)"), b"1234"), "4 bytes for shape"),
        (npy_bytes(header(shape="(-2, -2)"), b"1234"), "ValueError"),
        (npy_bytes(header("'|O'"), b"1234"), "dtype object"),
        (npy_bytes(header("'|V4'", "(1,)"), b"1234"), "dtype"),
        (npy_bytes(header("[('a', '|u1')]"), b"1234"), "dtype"),
        (npy_bytes(header("'<M8[s]'"), bytes(32)), "dtype datetime64"),
        (npy_bytes("__import__('os').getcwd()"), "malformed node"),
        (npy_bytes("(" * 5000), "readable as an NPY file"),
        (npy_bytes(header(), b"1234", version=b"\3\0"), "NPY version"),
        (npy_bytes(header(), b"1234", version=b"\7\7"), "NPY file"),
    ],
)
def test_npy_files_that_are_not_what_their_header_says(tmp_path, content, received):
    (tmp_path / "a.npy").write_bytes(content)
    for read in (load_npy, read_npy_header):
        with pytest.raises(FileFormatError, match=received):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_the_header_tells_where_the_values_start(tmp_path, version):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, IMAGES, version)
    header = read_npy_header(tmp_path / "a.npy")
    assert (header.shape, header.dtype, header.fortran_order) == ((4, 5, 6), np.uint8, False)
    assert (tmp_path / "a.npy").read_bytes()[header.offset :] == IMAGES.tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_keras_keys(tmp_path, save):
    y = np.array([3, 1, 4, 1])
    save(tmp_path / "mnist.npz", x_train=IMAGES, y_train=y, x_test=IMAGES[:2] + 1, y_test=y[:2] + 5)
    source = open_source(tmp_path / "mnist.npz")
    assert source.split.tolist() == ["train"] * 4 + ["test"] * 2
    assert source.labels.tolist() == [3, 1, 4, 1, 8, 6]
    np.testing.assert_array_equal(source.images[4:, :, :, 0], IMAGES[:2] + 1)


@pytest.mark.parametrize(
    "keys",
    [
        {"images": IMAGES},
        {"images": IMAGES, "labels": np.arange(4)},
        {"X": IMAGES, "y": np.array(list("abca"))},
        {"X_train": IMAGES, "X_val": IMAGES, "X_test": IMAGES},
        {
            "images_train": IMAGES,
            "labels_train": np.arange(4),
            "x_validation": IMAGES,
            "y_validation": np.arange(4),
        },
    ],
    ids=",".join,
)
def test_other_keys(tmp_path, keys):
    np.savez(tmp_path / "a.npz", **keys)
    source = open_source(tmp_path / "a.npz")
    n_splits = sum(array is IMAGES for array in keys.values())
    assert len(source) == 4 * n_splits
    assert (source.split is None) == (n_splits == 1)
    assert (source.labels is None) == (len(keys) == n_splits)


@pytest.mark.parametrize(
    ("keys", "received"),
    [
        ({"pictures": IMAGES}, "the keys pictures"),
        ({"images": IMAGES, "extra": IMAGES}, "the keys images, extra"),
        ({"labels": np.arange(4)}, "the keys labels"),
        ({"x": IMAGES, "X": IMAGES}, "the keys x, X"),
        ({"x": IMAGES, "x_test": IMAGES}, "the keys x, x_test"),
        ({"x_train": IMAGES, "y_test": np.arange(4)}, "the keys x_train, y_test"),
        ({"a\x1bb": IMAGES}, r"the keys a\\x1bb"),
        ({}, r"the keys \(none\)"),
    ],
)
def test_keys_that_are_not_understood_are_listed(tmp_path, keys, received):
    np.savez(tmp_path / "a.npz", **keys)
    with pytest.raises(
        FileFormatError, match=f"x, X, images for images and y, labels for labels.*{received}"
    ):
        load_npz(tmp_path / "a.npz")


def test_npz_parts_must_be_alike(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES[:, :4])
    with pytest.raises(DataError, match=r"\(5, 6, 1\) uint8 and \(4, 6, 1\) uint8"):
        open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=np.arange(4), x_test=IMAGES)
    with pytest.raises(DataError, match="labels and none"):
        open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=np.arange(3))
    with pytest.raises(DataError, match="3 labels for 4 images"):
        open_source(tmp_path / "a.npz")


def test_damaged_npz_files(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES)
    whole = path.read_bytes()
    middle = len(whole) // 3
    for content in (b"", b"PK\3\4", whole[:-30], whole[:middle] + b"\xff" * 20 + whole[middle + 20 :]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="must be readable as an NPZ file"):
            load_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"no array")
    with pytest.raises(FileFormatError, match="ValueError"):
        load_npz(path)
    with pytest.raises(FileFormatError, match="no such file"):
        load_npz(tmp_path / "b.npz")
    path.write_bytes(whole)
    monkeypatch.setattr(arrays, "MAX_NPZ_BYTES", 100)
    with pytest.raises(FileFormatError, match="when unpacked"):
        load_npz(path)


def test_an_archive_that_announces_more_than_it_holds(tmp_path):
    """A tiny member whose NPY header and ZIP directory promise gigabytes must not fill half an array."""
    member = npy_bytes(header(shape=f"({2**33},)"), b"1234")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("images.npy", member)
        real = len(member)
    lie = struct.pack("<I", 2**31)
    (tmp_path / "a.npz").write_bytes(packed.getvalue().replace(struct.pack("<I", real), lie))
    with pytest.raises(FileFormatError, match="readable as an NPZ file"):
        load_npz(tmp_path / "a.npz")


def test_a_member_that_ends_before_it_should_is_refused(tmp_path):
    """Its NPY header and the directory agree, and only four of the eight bytes are there."""
    member, packed = npy_bytes(header(shape="(8,)"), b"1234"), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", member)
    sizes = (struct.pack("<I", len(member) + extra) for extra in (0, 4))
    (tmp_path / "a.npz").write_bytes(packed.getvalue().replace(*sizes))
    with pytest.raises(FileFormatError, match=r"a\.npz .*EOFError: fewer bytes than announced\."):
        load_npz(tmp_path / "a.npz")
