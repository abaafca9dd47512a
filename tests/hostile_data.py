"""Data that a stranger could send, each built by one function, and a process that opens them all.

As a script, ``python tests/hostile_data.py ROOT`` imports caescope once, opens each case that `build_all` put
below ROOT in a process of its own, and prints what came of it as lines of JSON.
"""

import base64
import ctypes
import gzip
import io
import json
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SECONDS = 10
CANARY = 123  # the pixels and labels of files outside the folder
LOADS = "loads"  # instead of a piece of the message: allowed
EITHER = "either"  # loads, or is refused
IMAGES = np.arange(6 * 28 * 28, dtype=np.uint8).reshape(6, 28, 28)
NAMES = [f"{i}.png" for i in range(3)]


class Case(NamedTuple):
    build: Callable[[Path], Any]
    error: str
    piece: str
    how: str


CASES: dict[str, Case] = {}


def case(piece: str, name: str = "", how: str = "source"):
    """Keep a builder with a piece of the message that must come of it.

    The error is a FileFormatError, unless ``"DataError: "`` stands before the piece. The builder fills a
    folder and returns what is opened below it: the name of a source, and of labels if any.
    """

    error = "DataError" if piece.startswith("DataError: ") else "FileFormatError"

    def keep(build):
        CASES[name or build.__name__] = Case(build, error, piece.removeprefix("DataError: "), how)
        return build

    return keep


def build_all(root: Path) -> None:
    """Build every case in ``root/<number>/data``; of ``root/<number>/outside`` nothing may be read."""
    for number, entry in enumerate(CASES.values()):
        folder, outside = root / str(number) / "data", root / str(number) / "outside"
        folder.mkdir(parents=True)
        outside.mkdir()
        save_png(outside / "0.png", np.full((8, 8), CANARY, np.uint8))
        found = entry.build(folder)
        (folder.parent / "what.json").write_text(json.dumps(found if isinstance(found, list) else [found]))


def save(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def save_png(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


def save_images(folder: Path, names=NAMES) -> None:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_png(folder / name, np.full((8, 8), i, np.uint8))


def gzip_of(unit: bytes, times: int) -> bytes:
    """What unpacks to the same bytes many times over, made quickly."""
    return gzip.compress(unit, 9) * times


# --- Pickles

GADGETS = {
    "os_system": b"cos\nsystem\n(S'touch HACKED'\ntR.",
    "posix_system": b"cposix\nsystem\n(S'touch HACKED'\ntR.",
    "subprocess": b"csubprocess\ncheck_output\n((S'touch'\nS'HACKED'\nttR.",
    "eval": b'cbuiltins\neval\n(S\'open("HACKED", "w")\'\ntR.',
    "python_2_exec": b'c__builtin__\nexec\n(S\'open("HACKED", "w")\'\ntR.',
    "open": b"cbuiltins\nopen\n(S'HACKED'\nS'w'\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'os'\ntR.",
    "numpy_load": b"cnumpy\nload\n(S'HACKED.npy'\ntR.",
    "numpy_fromfile": b"cnumpy\nfromfile\n(S'../outside/0.png'\ntR.",
    "numpy_memmap": b"cnumpy\nmemmap\n(S'HACKED'\nS'f4'\nS'w+'\nK\0(K\x01ttR.",
    "numpy_f2py": b'cnumpy.f2py.crackfortran\nmyeval\n(S\'open("HACKED", "w")\'\ntR.',
    "tofile": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93(\x8c\x06HACKEDtR.",
    "torch_load": b"ctorch\nload\n(S'HACKED'\ntR.",
    "name_of_a_megabyte": b"c" + b"a" * 2**20 + b"\nb\n.",
}
OPCODES = {
    "numpy_exec": b'cnumpy.testing._private.utils\nrunstring\n(S\'open("HACKED", "w")\'\n}tR.',
    "inst": b"(S'touch HACKED'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch HACKED'\no.",
    "newobj": b"\x80\x02cnumpy\ndtype\nU\x02f4\x85\x81.",
    "newobj_ex": b"\x80\x04cnumpy\ndtype\n)}\x92.",
    "extension": b"\x80\x02\x82\x01.",
    "extension_4": b"\x80\x02\x84\x01\0\0\0.",
    "persistent": b"P../outside/0.png\n.",
    "binary_persistent": b"N\x51.",
    "dictionary": b"}S'a'\nNs.",
    "list": b"]Na.",
    "next_buffer": b"\x80\x05\x97.",
}
NO_PICKLES = {
    "build_a_class": b"cnumpy\nndarray\nN(NtbR.",
    "call_a_text": b"S'x'\n)R.",
    "frame_of_exabytes": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "text_of_gigabytes": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "bytes_of_exabytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "long_of_gigabytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "integer_of_many_digits": b"I" + b"9" * 10**6 + b"\n.",
    "long_of_many_digits": b"L" + b"9" * 10**6 + b"L\n.",
    "protocol_99": b"\x80\x63N.",
    "nothing_to_stop_at": b"\x80\x02.",
    "no_end": b"\x80\x02N",
    "empty_name": b"c\n\n.",
}
for piece, contents in {
    "must name NumPy arrays and nothing else. Received the name ": GADGETS,
    "must name NumPy arrays and nothing else. Received the pickle opcode ": OPCODES,
    "must be readable as a MNIST pickle. Received ": NO_PICKLES,
    "Received the memo number 2147483647": {"memo_of_gigabytes": b"\x80\x02Nr\xff\xff\xff\x7f."},
    "Received more than 10,000 pickle opcodes": {
        "nested_tuples": b"\x80\x02)" + b"\x85" * 2_000_000 + b".",
        "marks_without_end": b"(" * 3_000_000 + b".",
    },
    "must hold three pairs": {"build_a_text": b"S'x'\nNb."},
}.items():
    for kind, content in contents.items():
        case(piece, f"pickle_{kind}")(lambda folder, content=content: save(folder, "a.pkl", content))


class Runs:
    def __reduce__(self):
        return os.system, ("touch HACKED",)


for protocol in range(6):
    case("must name NumPy arrays and nothing else", f"pickle_of_protocol_{protocol}")(
        lambda folder, protocol=protocol: save(folder, "a.pkl", pickle.dumps(((Runs(), 1),) * 3, protocol))
    )


def array_opcodes(shape: bytes, code: bytes, data: bytes, order: bytes = b"U\x01<") -> bytes:
    """An array as NumPy under Python 2 pickled it; shape, code and order are opcodes of their own."""
    new = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\n" + code + b"K\0K\x01\x87R(K\x03" + order + b"NNN"
    dtype += b"J\xff\xff\xff\xff" * 2 + b"K\0tb"
    return new + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"


def mnist_opcodes(shape=b"K\x01M\x10\x03\x86", code=b"U\x02f4", data=bytes(3136), **order) -> bytes:
    pair = array_opcodes(shape, code, data, **order)
    pair += array_opcodes(b"K\x01\x85", b"U\x02i8", bytes(8)) + b"\x86"
    return b"\x80\x02" + pair * 3 + b"\x87."


BOMB = b")" + b"2\x86" * 60  # a tuple of itself and itself, 60 times: 2**60 items; DUP is refused
MEMO_BOMB = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
ARRAYS: dict[str, tuple[str, dict[str, bytes]]] = {
    "as_it_should_be": (LOADS, {}),
    "shape_too_large": ("cannot reshape", {"shape": b"K\x02M\x10\x03\x86"}),
    "shape_of_exabytes": ("cannot reshape", {"shape": b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"}),
    "shape_below_zero": ("readable as a MNIST pickle", {"shape": b"J\xfe\xff\xff\xffJ\xfe\xff\xff\xff\x86"}),
    "shape_of_none": ("Received images of shape (784,)", {"shape": b"N"}),
    "shape_of_texts": ("readable as a MNIST pickle", {"shape": b"U\x01aU\x01b\x86"}),
    "shape_as_a_bomb": ("readable as a MNIST pickle", {"shape": MEMO_BOMB}),
    "type_as_a_bomb": ("must hold three pairs", {"code": MEMO_BOMB}),
    "order_as_a_bomb": ("must hold three pairs", {"order": MEMO_BOMB}),
    "objects": ("must hold three pairs", {"code": b"U\x02O8"}),
    "structures": ("must hold three pairs", {"code": b"U\x02V4"}),
    "no_data": ("cannot reshape", {"data": b""}),
    "not_numbers": ("pixels from nan", {"data": b"\0\0\xc0\x7f" * 784}),
}
for kind, (piece, parts) in ARRAYS.items():
    case(piece, f"pickle_array_{kind}")(
        lambda folder, parts=parts: save(folder, "a.pkl", mnist_opcodes(**parts))
    )


@case("must name NumPy arrays and nothing else. Received the pickle opcode DUP")
def pickle_that_doubles(folder):
    return save(folder, "a.pkl", b"\x80\x02" + BOMB + b".")


@case("Received more than 10,000 pickle opcodes")
def pickle_of_endless_opcodes(folder):
    """A hundred megabytes of tiny opcodes, which would take minutes to look at."""
    return save(folder, "a.pkl.gz", gzip_of(b"N" * 2**20, 1) + gzip_of(b"N" * 2**20, 300))


@case("must hold at most 512 MiB")
def pickle_in_a_gzip_bomb(folder):
    return save(folder, "a.pkl.gz", gzip_of(b"\0" * 2**20, 1500))


@case(LOADS)
def pickle_as_large_as_the_real_one(folder):
    """Unpacked, MNIST's own pickle is 220 MB; whatever guards against bombs must let it through."""
    n = 70_000
    x = np.zeros((n - 20_000, 784), np.float32)
    sets = ((x, np.zeros(len(x), np.int64)), (x[:10_000], np.ones(10_000, np.int64)))
    content = pickle.dumps((*sets, (x[:10_000], np.ones(10_000, np.int64))), 4)
    assert len(content) > 220e6
    return save(folder, "mnist.pkl.gz", gzip.compress(content, 1))


@case("plain or gzipped file")
def gzip_cut_off(folder):
    return save(folder, "a.pkl.gz", gzip.compress(mnist_opcodes())[:100])


@case("plain or gzipped file")
def gzip_of_a_wrong_sum(folder):
    content = bytearray(gzip.compress(mnist_opcodes()))
    content[-6] ^= 1
    return save(folder, "a.pkl.gz", bytes(content))


@case("plain or gzipped file")
def gzip_of_garbage(folder):
    return save(folder, "a.csv.gz", b"\x1f\x8b\x08\0" + bytes(range(256)))


# --- IDX


def idx(shape, data: bytes, magic: bytes = b"\0\0\x08") -> bytes:
    return magic + bytes([len(shape)]) + b"".join(struct.pack(">I", side) for side in shape) + data


IDX = {
    "too_few": ((6, 28, 28), bytes(100)),
    "too_many": ((6, 2, 2), bytes(100)),
    "nothing": ((6, 28, 28), b""),
    "zero_images": ((0, 28, 28), b""),
    "zero_width": ((6, 28, 0), b""),
    "overflow": ((2**32 - 1,) * 32, bytes(100)),
    "overflow_to_zero": ((2**16,) * 4, b""),  # 2**64
    "overflow_to_few": ((2**31, 2**31, 4), bytes(4)),
}
for kind, (shape, data) in IDX.items():
    case("must hold exactly the values that its header announces", f"idx_{kind}")(
        lambda folder, shape=shape, data=data: save(folder, "a.idx", idx(shape, data))
    )
for kind, content in {
    "without_shape": b"\0\0\x08\x03\0\0",
    "of_doubles_cut": idx((2, 2, 2), bytes(63), b"\0\0\x0e"),
}.items():
    case("must hold exactly the values", f"idx_{kind}")(
        lambda folder, content=content: save(folder, "a.idx", content)
    )
for kind, content in {
    "of_another_magic": b"\0\1" + idx((6, 2, 2), bytes(24))[2:],
    "of_another_type": idx((6, 2, 2), bytes(24), b"\0\0\x0a"),
    "without_axes": b"\0\0\x08\0" + bytes(8),
    "of_33_axes": idx((1,) * 33, b"\0"),
    "of_three_bytes": b"\0\0\x08",
}.items():
    case("must be a source that caescope understands", f"idx_{kind}")(
        lambda folder, content=content: save(folder, "a.idx", content)
    )


@case("DataError: Pixels of images of a.idx must be finite")
def idx_of_no_numbers(folder):
    return save(folder, "a.idx", idx((1, 2, 2), b"\x7f\xc0\0\0" * 4, b"\0\0\x0d"))


@case("must hold at most 1024 MiB")
def idx_in_a_gzip_bomb(folder):
    head = idx((3000, 2**10, 2**10), b"")
    return save(folder, "a.idx.gz", gzip.compress(head) + gzip_of(bytes(2**20), 3000))


@case(LOADS)
def idx_of_a_gigabyte(folder):
    """Small when packed, and as large as is allowed."""
    head = idx((1023, 2**10, 2**10), b"")
    return save(folder, "a.idx.gz", gzip.compress(head) + gzip_of(bytes(2**20), 1023))


@case("DataError: one value for each image")
def idx_labels_of_another_number(folder):
    save(folder, "y.idx", idx((5,), bytes(5)))
    return [save(folder, "a.idx", idx((6, 2, 2), bytes(24))), "y.idx"]


# --- NPY


def npy(header: Any, data: bytes = b"", version: int = 1) -> bytes:
    text = (header if isinstance(header, str) else repr(header)).encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def npy_of(shape, data: bytes = b"", descr: Any = "|u1", order: bool = False) -> bytes:
    return npy({"descr": descr, "fortran_order": order, "shape": shape}, data)


def pickled_npy() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Runs()], object), allow_pickle=True)
    return content.getvalue()


NPY = {
    "too_few": npy_of((6, 28, 28), bytes(100)),
    "too_many": npy_of((6, 2, 2), bytes(100)),
    "absurd": npy_of((10**30, 28, 28), bytes(100)),
    "overflow_to_few": npy_of((2**62, 2, 2, 1), bytes(16)),
    "below_zero": npy_of((-6, -2, 2), bytes(24)),
    "shape_of_floats": npy_of((6.0, 2, 2), bytes(24)),
    "shape_of_none": npy_of(None, bytes(24)),
    "zero_by_infinite": npy_of((0, 10**30, 1)),
    "of_65_axes": npy_of((1,) * 65, b"\0"),
    "objects": npy_of((1,), b"\0" * 8, "|O"),
    "objects_that_run": pickled_npy(),
    "objects_in_a_field": npy_of((1,), b"\0" * 8, [("a", "|O")]),
    "structures": npy_of((6,), bytes(24), [("a", "<f4")]),
    "no_bytes_for_an_item": npy_of((10**9, 2, 2), b"", "|S0"),
    "a_type_of_gigabytes": npy_of((1, 2, 2), b"", "|V2147483647"),
    "a_nested_type": npy("{'descr': " + "[('a'," * 300 + "'f4'" + ")]" * 300 + "}"),
    "an_unknown_type": npy_of((6, 2, 2), bytes(24), "|Q9"),
    "code_for_a_header": npy("__import__('os').system('touch HACKED')"),
    "a_deep_header": npy("(" * 9000),
    "a_wide_header": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "1," * 30_000 + ")}"),
    "a_long_header": b"\x93NUMPY\x02\0\xff\xff\xff\xff{",
    "no_header": b"\x93NUMPY\x01\0",
    "another_version": npy_of((6, 2, 2), bytes(24)).replace(b"\x01\0", b"\x09\0", 1),
    "cut_off": npy_of((6, 2, 2), bytes(24))[:40],
}
for kind, content in NPY.items():
    case("must be readable as an NPY file", f"npy_{kind}")(
        lambda folder, content=content: save(folder, "a.npy", content)
    )


@case("DataError: must have shape")
def npy_of_no_axes(folder):
    return save(folder, "a.npy", npy_of((), b"\0"))


@case("DataError: one value for each image")
def npy_labels_of_another_number(folder):
    np.save(folder / "a.npy", IMAGES)
    return ["a.npy", save(folder, "y.npy", npy_of((2,), bytes(2)))]


@case("must be whole")
def npy_of_a_terabyte_of_nothing(folder):
    content = npy_of((2**20, 2**10, 2**10))
    save(folder, "a.npy", content)
    os.truncate(folder / "a.npy", len(content) + 2**40)
    return "a.npy"


# --- NPZ


def npz(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(folder / "a.npz", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return "a.npz"


GOOD = npy_of((6, 2, 2), bytes(24))
for kind, (piece, members) in {
    "without_images": ("must hold images", {"labels.npy": GOOD}),
    "of_nothing": ("must hold images", {}),
    "that_leads_outside": ("must hold images", {"../outside/images.npy": GOOD, "images.npy": GOOD}),
    "that_is_absolute": ("must hold images", {"/etc/images.npy": GOOD}),
    "of_control_characters": ("the keys \\x1b[2J", {"\x1b[2J.npy": GOOD}),
    "of_a_text": ("readable as an NPZ file", {"images.npy": b"not an array"}),
    "of_objects": ("readable as an NPZ file", {"images.npy": pickled_npy()}),
    "of_a_header_that_lies": ("readable as an NPZ file", {"images.npy": npy_of((2**40, 2, 2), bytes(24))}),
    "of_another_number_of_labels": (
        "DataError: one value for each image",
        {"x.npy": GOOD, "y.npy": npy_of((5,), bytes(5))},
    ),
    "of_parts_that_differ": (
        "DataError: must have images of one size",
        {"x_train.npy": GOOD, "x_test.npy": npy_of((6, 2, 1), bytes(12))},
    ),
}.items():
    case(piece, f"npz_{kind}")(lambda folder, members=members: npz(folder, members))


def raw_zeros(size: int) -> bytes:
    """Deflated zeros that end at a whole byte, without an end of their own; one piece is used again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size >> 24)


def deflated(size: int) -> bytes:
    return b"\x78\x01" + raw_zeros(size) + b"\x03\0" + struct.pack(">I", (size % 65521) << 16 | 1)


def zeros_npy(size: int) -> bytes:
    return npy_of((size >> 20, 2**10, 2**10))


@case("when unpacked")
def npz_bomb(folder):
    """Three gigabytes of zeros, as the header says, in three megabytes."""
    head, size = zeros_npy(3 * 2**30), 3 * 2**30
    packed = zlib.compressobj(1, zlib.DEFLATED, -15)
    content = packed.compress(head) + packed.flush(zlib.Z_FULL_FLUSH) + raw_zeros(size) + b"\x03\0"
    facts = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, 0, len(content), len(head) + size)
    local = b"PK\x03\x04" + facts + struct.pack("<HH", 10, 0) + b"images.npy" + content
    central = b"PK\x01\x02\x14\0" + facts + struct.pack("<HHHHHII", 10, 0, 0, 0, 0, 0, 0) + b"images.npy"
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return save(folder, "a.npz", local + central + end)


def patched_npz(folder: Path, field: int, value: bytes) -> str:
    """An archive whose directory at the end says something else than what is there."""
    npz(folder, {"images.npy": GOOD}, zipfile.ZIP_DEFLATED)
    content = bytearray((folder / "a.npz").read_bytes())
    start = content.rindex(b"PK\x01\x02") + field
    content[start : start + len(value)] = value
    return save(folder, "a.npz", bytes(content))


for kind, (field, value) in {
    "size_too_large": (24, b"\xff\xff\xff\x7f"),
    "size_too_small": (24, b"\x10\0\0\0"),
    "packed_size_too_large": (20, b"\xff\xff\xff\x7f"),
    "sum": (16, b"abcd"),
    "method": (10, b"\x63\0"),
    "encryption": (8, b"\x01\0"),
    "offset": (42, b"\xff\xff\xff\x0f"),
}.items():
    piece = EITHER if kind == "packed_size_too_large" else "must be readable as an NPZ file"
    case(piece, f"npz_of_a_wrong_{kind}")(
        lambda folder, field=field, value=value: patched_npz(folder, field, value)
    )


@case("must be readable as an NPZ file")
def npz_cut_off(folder):
    npz(folder, {"images.npy": GOOD})
    return save(folder, "a.npz", (folder / "a.npz").read_bytes()[:-30])


# --- HDF5


def hdf5(folder: Path, fill: Callable[[Any], object], name: str = "a.h5", **options) -> str:
    with h5py.File(folder / name, "w", **options) as file:
        fill(file)
    return name


def outside_h5(folder: Path) -> str:
    path = folder.parent / "outside" / "b.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.full((6, 8, 8), CANARY, np.uint8)
        file["y"] = np.full(6, CANARY)
    return str(path)


@case("x itself. Received a link")
def hdf5_external_link(folder):
    other = outside_h5(folder)
    return hdf5(folder, lambda file: file.__setitem__("x", h5py.ExternalLink(other, "x")))


@case("x itself. Received a link")
def hdf5_external_link_to_a_device(folder):
    return hdf5(folder, lambda file: file.__setitem__("x", h5py.ExternalLink("/dev/zero", "x")))


@case("y itself. Received a link")
def hdf5_external_link_for_labels(folder):
    other = outside_h5(folder)

    def fill(file):
        file["x"] = IMAGES
        file["y"] = h5py.ExternalLink(other, "y")

    return hdf5(folder, fill)


@case("x itself. Received a link")
def hdf5_soft_link(folder):
    def fill(file):
        file["other"] = IMAGES
        file["x"] = h5py.SoftLink("/other")

    return hdf5(folder, fill)


@case("x itself. Received a link")
def hdf5_soft_link_to_itself(folder):
    return hdf5(folder, lambda file: file.__setitem__("x", h5py.SoftLink("/x")))


@case("x itself. Received a virtual dataset")
def hdf5_virtual_dataset(folder):
    layout = h5py.VirtualLayout((6, 8, 8), np.uint8)
    layout[...] = h5py.VirtualSource(outside_h5(folder), "x", (6, 8, 8))
    return hdf5(folder, lambda file: file.create_virtual_dataset("x", layout))


@case("x itself. Received external storage")
def hdf5_external_storage(folder):
    path = str(folder.parent / "outside" / "0.png")
    return hdf5(folder, lambda file: file.create_dataset("x", (1, 8, 8), np.uint8, external=[(path, 0, 64)]))


@case("x itself. Received external storage")
def hdf5_external_storage_in_a_device(folder):
    external = [("/dev/zero", 0, 2**40)]
    return hdf5(folder, lambda file: file.create_dataset("x", (2**30, 32, 32), np.uint8, external=external))


@case("x itself. Received a group")
def hdf5_circle_of_groups(folder):
    return hdf5(folder, lambda file: file.create_group("x").__setitem__("x", file["/"]))


@case("one value of y for each of its 6 images")
def hdf5_labels_of_another_number(folder):
    def fill(file):
        file["x"], file["y"] = IMAGES, np.zeros(2**20, np.uint8)

    return hdf5(folder, fill)


@case("values that were never written")
def hdf5_absurd_rows(folder):
    return hdf5(folder, lambda file: file.create_dataset("x", (2**50, 28, 28), np.uint8))


@case("values that were never written")
def hdf5_absurd_chunks(folder):
    return hdf5(folder, lambda file: file.create_dataset("x", (2**50, 28, 28), np.uint8, chunks=(1, 28, 28)))


def packed_chunk(file, shape, chunk: bytes) -> None:
    dataset = file.create_dataset("x", shape, np.uint8, chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0,) * len(shape), chunk)


@case("must be readable as an HDF5 file of images")
def hdf5_chunk_of_gigabytes(folder):
    """Four images, of which deflate makes three gigabytes."""
    return hdf5(folder, lambda file: packed_chunk(file, (4, 8, 8), deflated(3 * 2**30)))


@case(EITHER)
def hdf5_chunk_too_short(folder):
    return hdf5(folder, lambda file: packed_chunk(file, (4, 8, 8), zlib.compress(bytes(16))))


@case("of images together")
def hdf5_chunk_of_all_images(folder):
    return hdf5(folder, lambda file: packed_chunk(file, (300, 2**10, 2**10), bytes(10**6)))


@case("bytes of values in a file of")
def hdf5_more_images_than_can_be(folder):
    """A filter that needs 21 bytes for any number of equal values."""

    def fill(file):
        shape = (100, 1000, 1000)
        dataset = file.create_dataset("x", shape, np.uint8, chunks=shape, scaleoffset=0)
        dataset.id.write_direct_chunk((0, 0, 0), bytes(21))

    return hdf5(folder, fill)


@case("DataError: at most 134,217,728 images")
def hdf5_of_a_billion_tiny_images(folder):
    shape = (2**30, 1, 1)

    def fill(file):
        dataset = file.create_dataset("x", shape, np.uint8, chunks=(2**27, 1, 1), compression="gzip")
        chunk = deflated(2**27)
        for start in range(0, 2**30, 2**27):
            dataset.id.write_direct_chunk((start, 0, 0), chunk)

    return hdf5(folder, fill)


@case("short strings")
def hdf5_labels_of_a_megabyte(folder):
    def fill(file):
        file["x"] = IMAGES
        file["y"] = ["a" * 2**20] * 6

    return hdf5(folder, fill)


@case("numbers or short strings")
def hdf5_labels_that_refer(folder):
    def fill(file):
        file["x"] = IMAGES
        file.create_dataset("y", data=[file.ref] * 6, dtype=h5py.ref_dtype)

    return hdf5(folder, fill)


@case("must be readable as an HDF5 file of images")
def hdf5_cut_off(folder):
    hdf5(folder, lambda file: file.__setitem__("x", IMAGES))
    return save(folder, "a.h5", (folder / "a.h5").read_bytes()[:3000])


@case("must be readable as an HDF5 file of images")
def hdf5_of_a_signature_alone(folder):
    return save(folder, "a.h5", b"\x89HDF\r\n\x1a\n")


@case(EITHER)
def hdf5_chunk_shorter_than_its_sum(folder):
    import h5py.h5z as filters

    def fill(file):
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((6, 28, 28))
        plist.set_filter(filters.FILTER_FLETCHER32)
        space = h5py.h5s.create_simple((6, 28, 28))
        dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, space, plist)
        dataset.write_direct_chunk((0, 0, 0), bytes(100))

    return hdf5(folder, fill)


# Found by `fuzzing`: HDF5 2.0 reads this for ever
NEVER_ENDS = (
    b"eNrr9HBx4+WS4mLm4GCAgf9QsFMYwjeAiq84HLPW38MliImhgkkIWSEMcDExMDIwsAkyACm2zNzE9NTizVC9UMGcxKTUnOJaJqio"
    b"HgOJ4KxNaCfYCYwMjIwmDAxMzIyMzFA5FijNCqVxivMwMAowgJwDAhwMrEBXM3NzA0WZGIHGAiFIBwfQ80AZFkZGFlZGZq79jFDd"
    b"7QyDBZSr+DW7OXq4MDCKcMH8+h3qzJSmf14VcckJKUlpianJzx88efTs4dPH4gIiQmwMrG4M+90cXZwYGGGeug2lZZBMd2XCFEvE"
    b"IlbGuaKlIk5YUFR4+oQpk6ZNnDo5PCAkKCwwNJidQXQdk39F3OULVy5du3j1srmBiZGZoanx9g1bNrExqIkx34fHpAgwJhkRMQmn"
    b"RRgYJYFxAootjBhj4gCmQWbGTmbURMqwgWHIAbNXp0JAftvJjPA/Mp8JjQ9iuzv7+4DDQwAhhkwnMyD0IosnoYUxTDwRh9tW8DOM"
    b"glEwCkbBKBgFo2AUjIJRMApGwSgYBaNggAEAH69jbg=="
)


@case("something at which the reader stopped (SIGXCPU)")
def hdf5_that_never_ends(folder):
    return save(folder, "a.h5", zlib.decompress(base64.b64decode(NEVER_ENDS)))


# And at this it crashes
CRASHES = (
    b"eNrr9HBx4+WS4mIAAQ4OBhYGAQZk8B8KRIRR+TD5BCjNCKU7oPQKJpg4I1hOAiouCDUfXV1IkKsrSPV/NACzx4AFQqO6bhSMFODh"
    b"6hgAoiOgfFh6OsGEqi4zNzE9tZiBIScxKTWnGJEuHci0l5GBDWIGI4xvAaGZIQLMUHXQ5MnACqVxiwuAjRKAG8kBlecA85mYmcDC"
    b"3ECfMoLtgehjAsszMhRnlKal5aTC/cVQCxJnZsipSoPbxwqU1ECyDwSAekqSM1KLjI0YoLYqQOSZWCpYYVZAtSNlZ7j7YCDYz9+F"
    b"EewaCFBgxh9+sPzKKDSahpEBqLwDhSNGQUck2CEIoWUZEJGHDzwRROUz4UifjKNRMwpGwSgYBaNgFIyCUTAKRsHgA4xMzCysbOwc"
    b"nFzcPLx8/AKCQsIiomLiEpJS0jKycvIKikrKKqpq6hNrHfJFNDS1tHV09fQNDI2MTUzNzC0srawZHnAxfHt55AojsOmP2sGFdK0Z"
    b"GVE7uAga0lEVZoRogXdcmSAdVw6ofmZGQWFUnTAwY1CHa2JSMgACJFVp"
)


@case("must be readable as an HDF5 file of images")
def hdf5_that_crashes(folder):
    return save(folder, "a.h5", zlib.decompress(base64.b64decode(CRASHES)))


# --- Images


def png(width: int, height: int, body: bytes = b"", bits: int = 8, colour: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def text_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(entries: list[tuple[int, int, int, int]], next_ifd: int = 0, data: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory at 8; an entry is tag, type, count and value."""
    body = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHII", tag, kind, count, value & 0xFFFFFFFF)
    return b"II*\0\x08\0\0\0" + body + struct.pack("<I", next_ifd) + data


PLAIN = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
STRIP = [(278, 3, 1, 8), (279, 4, 1, 64)]


def plain_tiff(extra=(), next_ifd: int = 0, **changes) -> bytes:
    entries = sorted([*PLAIN, *STRIP, *extra, (273, 4, 1, 0)])
    offset = 8 + 2 + 12 * len(entries) + 4
    entries = [(*entry[:3], offset) if entry[0] == 273 else entry for entry in entries]
    entries = [(*entry[:2], *changes.get(f"t{entry[0]}", entry[2:])) for entry in entries]
    return tiff(entries, next_ifd, bytes(range(64)))


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


IMAGE_KIND = "must be readable as a PNG, JPEG, TIFF, WebP or BMP image"
FILES: dict[str, tuple[str, str, bytes]] = {
    "pixel_bomb": ("exceeds limit of", "a.png", png(100_000, 100_000)),
    "pixel_bomb_of_16_bits": ("exceeds limit of", "a.png", png(100_000, 100_000, bits=16, colour=6)),
    "pixel_bomb_bmp": ("exceeds limit of", "a.bmp", bmp(100_000, 100_000)),
    "png_of_no_width": (IMAGE_KIND, "a.png", png(0, 8)),
    "png_of_2_to_the_31": (IMAGE_KIND, "a.png", png(2**31, 2**31)),
    "png_without_pixels": (IMAGE_KIND, "a.png", png(8, 8)),
    "png_text_bomb": (IMAGE_KIND, "a.png", png(8, 8, text_chunk(b"zTXt", b"a\0\0" + deflated(2**28)))),
    "png_profile_bomb": (IMAGE_KIND, "a.png", png(8, 8, text_chunk(b"iCCP", b"a\0\0" + deflated(2**28)))),
    "png_of_a_broken_chunk": (IMAGE_KIND, "a.png", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR"),
    "png_of_a_wrong_sum": (IMAGE_KIND, "a.png", png(8, 8).replace(b"IHDR\0\0\0\x08", b"IHDR\0\0\0\x09")),
    "bmp_cut_off": (IMAGE_KIND, "a.bmp", bmp(8, 8)[:20]),
    "bmp_without_pixels": (IMAGE_KIND, "a.bmp", bmp(8, 8)),
    "gif": (IMAGE_KIND, "a.png", b"GIF89a" + bytes(100)),
    "postscript": (IMAGE_KIND, "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(HACKED)(w) file"),
    "text": (IMAGE_KIND, "a.png", b"no image"),
    "empty": (IMAGE_KIND, "a.png", b""),
    "jpeg_of_a_head_alone": (IMAGE_KIND, "a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
    "jpeg_of_absurd_size": (IMAGE_KIND, "a.jpg", b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0"),
    "webp_cut_off": (IMAGE_KIND, "a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X"),
    "tiff_plain": (LOADS, "a.tif", plain_tiff()),
    "tiff_in_a_circle": (LOADS, "a.tif", plain_tiff(next_ifd=8)),
    "tiff_without_entries": (IMAGE_KIND, "a.tif", tiff([])),
    "tiff_directory_beyond_the_end": (IMAGE_KIND, "a.tif", b"II*\0\xff\xff\xff\x7f"),
    "tiff_of_absurd_count": (IMAGE_KIND, "a.tif", plain_tiff(t273=(0xFFFFFFFF, 8))),
    "tiff_of_absurd_width": ("exceeds limit of", "a.tif", plain_tiff(t256=(1, 65_000), t257=(1, 65_000))),
    "tiff_of_a_strip_too_long": (IMAGE_KIND, "a.tif", plain_tiff(t279=(1, 2**31), t273=(1, 2**31))),
    "tiff_of_an_exif_circle": (LOADS, "a.tif", plain_tiff([(34665, 4, 1, 8)])),
    "tiff_of_subdirectories_in_a_circle": (LOADS, "a.tif", plain_tiff([(330, 4, 1, 8)])),
    "tiff_of_absurd_tags": (IMAGE_KIND, "a.tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(range(256)) * 20),
    "tiff_of_64_bits": (IMAGE_KIND, "a.tif", b"II+\0\x08\0\0\0" + b"\xff" * 64),
}
for kind, (piece, name, content) in FILES.items():
    case(piece, f"image_{kind}")(
        lambda folder, name=name, content=content: save(folder, name, content) and "."
    )


def large_png(bits: int, colour: int, bytes_per_pixel: int) -> bytes:
    """As many pixels as are allowed, all zero, which take little in the file."""
    size = (9400 * bytes_per_pixel + 1) * 9400
    size += -size % 2**24  # what comes after the pixels is left alone
    return png(9400, 9400, text_chunk(b"IDAT", deflated(size)), bits, colour)


for kind, facts in {"grey": (16, 0, 2), "rgb": (8, 2, 3), "rgba": (8, 6, 4), "rgba_16": (16, 6, 8)}.items():
    case(LOADS, f"image_as_large_as_allowed_{kind}")(
        lambda folder, facts=facts: save(folder, "a.png", large_png(*facts)) and "."
    )

RAISED = """
    SyntaxError struct.error ValueError MemoryError RecursionError zlib.error EOFError KeyError IndexError
    TypeError OSError AssertionError ZeroDivisionError OverflowError UnicodeDecodeError NotImplementedError
    RuntimeError AttributeError BufferError StopIteration
"""
for kind in RAISED.split():
    case(f"Received {kind.rpartition('.')[2]}: ", f"decoder_raises_{kind}", how=f"raising {kind}")(
        lambda folder: save_images(folder) or "."
    )


@case("DataError: all have one size")
def images_of_different_sizes(folder):
    save_images(folder)
    save_png(folder / "large.png", np.zeros((9, 8), np.uint8))
    return "."


# --- Folders


@case("A link in a folder of images must lead to a file in that folder")
def folder_with_a_link_out(folder):
    save_images(folder)
    (folder / "z.png").symlink_to("../outside/0.png")
    return "."


@case("A link in a folder of images")
def folder_with_an_absolute_link(folder):
    save_images(folder)
    (folder / "z.png").symlink_to(folder.parent / "outside" / "0.png")
    return "."


@case("A link in a folder of images")
def folder_with_a_link_to_a_folder(folder):
    save_images(folder, ["a/0.png"])
    (folder / "b").symlink_to("../outside")
    return "."


@case("A link in a folder of images")
def folder_with_a_link_to_itself(folder):
    save_images(folder, ["a/0.png"])
    (folder / "a" / "b").symlink_to("..")
    return "."


@case("A link in a folder of images")
def folder_with_a_link_to_a_device(folder):
    save_images(folder)
    (folder / "z.png").symlink_to("/dev/zero")
    return "."


@case("A link in a folder of images")
def folder_with_a_link_by_a_link(folder):
    save_images(folder)
    (folder / "hidden").symlink_to("../outside/0.png")
    (folder / "z.png").symlink_to("hidden")
    return "."


@case(LOADS)
def folder_with_a_circle_of_links(folder):
    save_images(folder)
    (folder / "y.png").symlink_to("z.png")
    (folder / "z.png").symlink_to("y.png")
    return "."


@case(LOADS)
def folder_with_a_pipe(folder):
    save_images(folder)
    os.mkfifo(folder / "z.png")
    (folder / "y.png").symlink_to("z.png")
    return "."


@case(LOADS)
def folder_with_a_socket(folder):
    save_images(folder)
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("z.png")
    os.chdir(here)
    return "."


@case("DataError: must hold images")
def folder_of_pipes(folder):
    os.mkfifo(folder / "z.png")
    return "."


def nested(folder: Path, depth: int) -> str:
    here = os.getcwd()
    os.chdir(folder)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    return "."


case("DataError: must hold images", "folder_1500_deep")(lambda folder: nested(folder, 1500))
case("must be readable as a folder", "folder_deeper_than_paths")(lambda folder: nested(folder, 4000))


@case("must lead to a file in that folder")
def mnist_folder_with_a_link_out(folder):
    save(folder.parent / "outside", "images", idx((6, 2, 2), bytes([CANARY]) * 24))
    (folder / "train-images-idx3-ubyte").symlink_to("../outside/images")
    return "."


@case("A link in a folder")
def mnist_folder_with_labels_out(folder):
    save(folder.parent / "outside", "labels", idx((6,), bytes([CANARY]) * 6))
    save(folder, "train-images-idx3-ubyte", idx((6, 2, 2), bytes(24)))
    (folder / "train-labels-idx1-ubyte").symlink_to("../outside/labels")
    return "."


@case("must be a file")
def pipe_as_a_source(folder):
    os.mkfifo(folder / "a.npy")
    return "a.npy"


@case("must be a file")
def device_as_a_source(folder):
    return "/dev/zero"


@case("must be a file")
def pipe_as_labels(folder):
    save_images(folder)
    os.mkfifo(folder / "y.csv")
    return [".", "y.csv"]


case("must exist", "source_of_a_zero_byte")(lambda folder: "a\0.npy")
case("must exist", "source_of_a_long_name")(lambda folder: "a" * 10_000)
case("must exist", "source_of_surrogates")(lambda folder: "\udcff\ud800.npy")


# --- Tables


def listing(folder: Path, paths: list[str], name: str = "a.csv") -> str:
    save_images(folder)
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"path": paths}), folder / name)
    else:
        (folder / name).write_text("path\n" + "".join(f'"{path}"\n' for path in paths))
    return name


OUT = "must list images in its own folder or below"
for kind, (piece, path) in {
    "out": (OUT, "../outside/0.png"),
    "out_and_back": (OUT, "../data/0.png"),
    "in_and_out": (OUT, "sub/../../outside/0.png"),
    "absolute": (OUT, "/etc/hostname"),
    "twice_absolute": (OUT, "//etc/hostname"),
    "backslashes": (OUT, "..\\outside\\0.png"),
    "absolute_backslashes": (OUT, "\\etc\\hostname"),
    "zero_byte": (OUT, "0.png\0"),
    "nothing": (OUT, " "),
    "long": ("DataError: must list files that exist", "a" * 100_000),
    "long_folders": ("DataError: must list files that exist", "a/" * 3000 + "0.png"),
    "address": ("DataError: must list files that exist", "http://example.org/0.png"),
    "control_characters": ("DataError: missing, for example \\x1b[2J", "\x1b[2J"),
    "home": ("DataError: must list files that exist", "~/0.png"),
    "folder": ("DataError: must list files that exist", "."),
}.items():
    for suffix in (".csv", ".parquet"):
        case(piece, f"listing_of_{kind}{suffix}")(
            lambda folder, path=path, suffix=suffix: listing(folder, ["0.png", path], f"a{suffix}")
        )


@case(OUT)
def listing_through_a_folder_link(folder):
    (folder / "sub").symlink_to("../outside")
    return listing(folder, ["sub/0.png"])


@case("A link in a folder of images")
def listing_of_a_link_out(folder):
    (folder / "z.png").symlink_to("../outside/0.png")
    return listing(folder, ["0.png", "z.png"])


@case("DataError: must list files that exist")
def listing_of_a_pipe(folder):
    os.mkfifo(folder / "z.png")
    return listing(folder, ["0.png", "z.png"])


@case("DataError: ids must be unique")
def listing_of_one_image_twice(folder):
    return listing(folder, ["0.png", "0.png"])


@case("DataError: ids must be unique")
def listing_of_one_image_a_million_times(folder):
    return listing(folder, ["0.png"] * 10**6, "a.parquet")


@case("DataError: must list images")
def listing_of_none(folder):
    return listing(folder, [])


def labelled(folder: Path, content: bytes, name: str = "y.csv") -> list[str]:
    save_images(folder)
    return [".", save(folder, name, content)]


ROWS = "".join(f"{name},{i}\n" for i, name in enumerate(NAMES)).encode()
for kind, (piece, content) in {
    "as_it_should_be": (LOADS, b"path,label\n" + ROWS),
    "latin_1": ("must be readable as UTF-8 text", b"path,label,caf\xe9\n" + ROWS),
    "half_of_utf_16": ("must be readable as UTF-8 text", b"\xff\xfep\0a\0"),
    "zero_bytes": ("DataError: must hold one value for each image", b"\0" * 1000),
    "a_gigantic_field": (
        "must be readable as a CSV table",
        gzip.compress(b"path,label\n0.png," + b"a" * 2**27 + b"\n", 1),
    ),
    "an_open_quote": ("must be readable as a CSV table", b'path,label\n0.png,"' + b"a,b\n" * 100),
    "ragged": ("all rows of one length", b"path,label\n0.png,1,2\n"),
    "a_name_twice": ("a name of its own for each column", b"path,label,label\n0.png,1,2\n"),
    "an_image_twice": (
        "DataError: must name every image, and no image twice",
        b"path,label\n" + ROWS + b"0.png,1\n",
    ),
    "an_image_missing": ("DataError: must name every image", b"path,label\n0.png,1\n"),
    "infinity": ("DataError: finite floats", b"path,label\n0.png,1e999\n1.png,1.5\n2.png,1.5\n"),
    "many_digits": ("DataError: finite floats", b"path,label\n" + ROWS.replace(b",", b"," + b"9" * 10**5)),
    "nothing": ("must be a table with", b""),
    "one_column": ("must be a table with", b"path\n0.png\n"),
    "a_reserved_name": ("DataError: A column must have a name of its own", b"path,z000\n" + ROWS),
    "no_names": ("DataError: a name of its own", b"path,\n" + ROWS),
    "many_columns": ("must hold at most 33,554,432 cells", gzip.compress(b"," * 2**26, 1)),
    "short_rows": ("must hold at most 33,554,432 cells", gzip.compress(b"\n," * 2**26, 1)),
    "line_ends": ("must hold at most 33,554,432 cells", gzip.compress(b"\n" * 2**26, 1)),
}.items():
    case(piece, f"labels_of_{kind}")(lambda folder, content=content: labelled(folder, content))


@case("DataError: split must be at most")
def listing_of_one_long_split_among_many(folder):
    names = [f"{i}.png" for i in range(5000)]
    for name in names:
        (folder / name).touch()
    rows = [f"{name},{'a' * 131_000 if name == '0.png' else 'train'}" for name in names]
    return save(folder, "a.csv", "\n".join(["path,split", *rows]).encode())


@case("DataError: labels must be at most")
def labels_of_one_long_text_among_many(folder):
    """NumPy gives every text as much room as the longest."""
    np.save(folder / "a.npy", np.zeros((50_000, 1, 1), np.uint8))
    return ["a.npy", save(folder, "y.csv", b"label\n" + b"a" * 131_000 + b"\nb" * 49_999)]


@case("must hold at most 256 MiB")
def labels_in_a_gzip_bomb(folder):
    return labelled(folder, gzip_of(b"a,b\n" * 2**18, 2000), "y.csv.gz")


@case("must hold at most 33,554,432 cells")
def labels_of_many_cells_in_a_gzip(folder):
    return labelled(folder, gzip_of(b",\n" * 2**19, 250), "y.csv.gz")


@case("must hold at most 33,554,432 cells")
def labels_of_many_lines(folder):
    return labelled(folder, gzip_of(b"1\n" * 2**19, 200), "y.txt.gz")


@case("must be a file of labels")
def labels_of_another_kind(folder):
    return labelled(folder, b"<html>", "y.html")


@case("must be a file of labels")
def labels_that_are_a_pickle(folder):
    return labelled(folder, GADGETS["os_system"], "y.pkl")


# --- Parquet


def parquet(folder: Path, table: pa.Table, name: str = "y.parquet", **options) -> list[str]:
    save_images(folder)
    pq.write_table(table, folder / name, **options)
    return [".", name]


@case("must hold at most 33,554,432 cells")
def parquet_of_many_rows(folder):
    """A billion times the same label, in a few kilobytes."""
    save_images(folder)
    column = pa.array(["a"]).dictionary_encode()
    with pq.ParquetWriter(folder / "y.parquet", pa.schema({"label": column.type})) as writer:
        indices = pa.array(np.zeros(10**7, np.int32))
        table = pa.table({"label": pa.DictionaryArray.from_arrays(indices, column.dictionary)})
        for _ in range(5):
            writer.write_table(table)
    return [".", "y.parquet"]


@case("must hold at most 33,554,432 cells")
def parquet_of_many_columns(folder):
    table = pa.table({f"c{i}": pa.nulls(20_000, pa.int8()) for i in range(3000)})
    return parquet(folder, table)


@case("DataError: no image twice")
def parquet_of_long_texts(folder):
    """Two gigabytes of text, as a dictionary of one."""
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, np.int32)), pa.array(["a" * 2**20]))
    return parquet(folder, pa.table({"path": NAMES * 1000, "label": values}), compression="zstd")


@case("DataError: one value for each image")
def parquet_labels_of_another_number(folder):
    return parquet(folder, pa.table({"label": [1] * 5}))


@case("must be readable as a Parquet file")
def parquet_cut_off(folder):
    parquet(folder, pa.table({"label": [1, 2, 3]}))
    return [".", save(folder, "y.parquet", (folder / "y.parquet").read_bytes()[:-20])]


@case("must be readable as a Parquet file")
def parquet_of_a_signature_alone(folder):
    save_images(folder)
    return [".", save(folder, "y.parquet", b"PAR1" * 3)]


@case("must be readable as a Parquet file")
def parquet_of_a_footer_too_long(folder):
    save_images(folder)
    return [".", save(folder, "y.parquet", b"PAR1" + bytes(100) + b"\xff\xff\xff\x7fPAR1")]


def patched_rows(folder: Path, rows: int) -> list[str]:
    """A table whose footer declares other numbers of rows, written as Thrift's zigzag varints."""
    found = parquet(folder, pa.table({"label": np.arange(300)}), compression="none", use_dictionary=False)
    content = (folder / "y.parquet").read_bytes()
    length = struct.unpack("<I", content[-8:-4])[0]
    footer = content[-8 - length : -8].replace(varint(300), varint(rows))
    save(folder, "y.parquet", content[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return found


def varint(number: int) -> bytes:
    number, out = number << 1, b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


# Found by `fuzzing`: Arrow 26 ends the process at what these say of their pages
ENDS_THE_PROCESS = {
    "histograms": (
        b"eNqNk01LI0EQhqt7eno1BFnEatIYZA5Oo6BZFRWUBfEiCjm4e/aQSRg2C9lkdhJ316MXT548eRbEqwgLHjz6JwQP/gwRFKtnJiEh"
        b"gs5X1XTV81Z1MbO7+X0RBa7idhklinGAmf9fnr3JOwAXAIJS1PxhnWrXqVkHASfQzFmCblmEDMt9A+D0Ihl3poGClFUm09O1CYwS"
        b"/tnHAcmM4/SwzOhOKuO4zOEU83BpQOXzIWTHw0ZqHzfe1XJSrQVcH9hp4RygwijFySQ5VB5YhX1wi4Bj6NksGMj6tNarilw3VqAg"
        b"27V6+CvAHGDe5wURBZ26D2VLJAtuI6iGje5KzoeC26614pCmSFHWpFLWVkFJXdR7BoqY176QOpXCvJLqmKlLZhpmZHbOjgu57c+a"
        b"r2pKS21AknaXBJ3VTNA6weaJmWs2zArLcpGxubRq2l3CdtQpMyeOueVD7Gw/KVKSNRPqiKkzZq6EuXfexHrNgvYlNcuqCbastsyL"
        b"2KFlOvsrqDOhpBlRNy7MeFEQ/94PO/O1KJoP4rj11/sTxu2fraa3tFpaKC3qPRpz/wUX9EXu0s/wCl3abZk="
    ),
    "sizes": (
        b"eNqVk8FqwkAQhmdishURwcMuWQglF0MKKrVQTwGp5x6keBIvSQi1YDWNttV36LGHnvoAfYQ+Rp+gT9Bzb+0kJrqlXgzDzvAz/7cT"
        b"JhlcXHU48D7vNzmjgnFmdcE1wnY8uzYNP031OgBoAD8GGlRlWloERZE1k9nmtkLRXFybuCrcUDKQzlV6rKmnyZu7ZrMM2fPdK6rP"
        b"ntDcPeoOVyqkoolYHvdUaN4CZhnzSoC7R91CGRaSlueimZg1XlPgiCYCzZhlZSrkupyeg8kW4SS69XmFrA3N1GN/OWnApZWyqiQY"
        b"Uz+IpoVSSZVFOE8i4DrVONvYMADBpCXHDli8KhsM5AbFSRdPSOGUvT0bkxZPZ9bAE8eSSQcYXaNANtcT5UiMxMh5Rk9ZmGLWU7Om"
        b"5+ZKbs4mzUZ4QwrnC72DVri74ETF6xs8zjL0O1I4LyXvoEX+RW9fG3J0kKGHYuh86N6/Je6ZS7wagjllSuDasZ/c3UfLVhjHLT9J"
        b"5o/2Q5QsbuYz+6zbPm135Ji2qQbU6KsY0E/2Cx/nZOQ="
    ),
}
for kind, content in ENDS_THE_PROCESS.items():
    case(EITHER, f"parquet_that_ends_the_process_by_{kind}")(
        lambda folder, content=content: labelled(
            folder, zlib.decompress(base64.b64decode(content)), "y.parquet"
        )
    )


case("must hold at most 33,554,432 cells", "parquet_of_declared_rows")(
    lambda folder: patched_rows(folder, 2**60)
)
case("300 rows, where 1000000 are declared", "parquet_of_fewer_rows_than_declared")(
    lambda folder: patched_rows(folder, 10**6)
)


@case(LOADS)
def parquet_of_a_type_that_runs(folder):
    """An extension type that older versions of pyarrow unpickled."""
    field = pa.field("label", pa.int64(), metadata={
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Runs()),
    })  # fmt: skip
    return parquet(folder, pa.Table.from_arrays([pa.array([1, 2, 3])], schema=pa.schema([field])))


@case("too deeply nested")
def parquet_of_nested_labels(folder):
    kind, value = pa.int8(), 1
    for _ in range(50):
        kind, value = pa.list_(kind), [value]
    return parquet(folder, pa.table({"label": pa.array([value] * 3, kind)}))


@case("must hold latents in the columns", how="latents")
def latents_of_none(folder):
    return parquet(folder, pa.table({"a": ["x"] * 3}))[1]


@case("must be readable as a Parquet file", how="latents")
def latents_of_lists_that_differ(folder):
    return parquet(folder, pa.table({"emb": [[1.0], [1.0, 2.0], []]}))[1]


@case("must be readable as a Parquet file", how="latents")
def latents_of_many_rows(folder):
    n = 15 * 10**7
    save_images(folder)
    schema = pa.schema({"z000": pa.float32()})
    with pq.ParquetWriter(folder / "y.parquet", schema, compression="zstd") as writer:
        table = pa.table({"z000": pa.array(np.zeros(10**7, np.float32))})
        for _ in range(n // 10**7):
            writer.write_table(table)
    return "y.parquet"


# --- Slides

SLIDE = "a.tif"
TILED = [(322, 3, 1, 8), (323, 3, 1, 8), (325, 4, 1, 64)]


def tiled_tiff(next_ifd: int = 0, **changes) -> bytes:
    entries = sorted([*PLAIN, *TILED, (324, 4, 1, 0)])
    offset = 8 + 2 + 12 * len(entries) + 4
    entries = [(*entry[:3], offset) if entry[0] == 324 else entry for entry in entries]
    entries = [(*entry[:2], *changes.get(f"t{entry[0]}", entry[2:])) for entry in entries]
    return tiff(entries, next_ifd, bytes(range(64)))


for kind, (piece, content) in {
    "in_a_circle": ("directories without end", tiled_tiff(next_ifd=8)),
    "without_a_directory": ("must be a slide that OpenSlide reads", b"II*\0\0\0\0\0"),
    "of_absurd_counts": (
        "must be readable as a slide",
        tiled_tiff(t324=(0xFFFFFFFF, 8), t325=(0xFFFFFFFF, 8)),
    ),
    "of_absurd_tiles": ("must have tiles of at most", tiled_tiff(t322=(1, 0xFFF0), t323=(1, 0xFFF0))),
    "of_no_tiles": ("must be readable as a slide", tiled_tiff(t322=(1, 0))),
    "of_absurd_size": ("must be readable as a slide", tiled_tiff(t256=(1, 0xFFFFFFFF), t257=(1, 0xFFFFFFFF))),
    "of_tiles_beyond_the_end": ("must be readable as a slide", tiled_tiff(t324=(1, 0x7FFFFFFF))),
    "of_nothing": ("an empty file", b""),
    "of_text": ("a file of another kind", b"no slide"),
}.items():
    case(piece, f"slide_{kind}", how="slide")(lambda folder, content=content: save(folder, SLIDE, content))


def big_tiff(side: int, order: str = ">") -> bytes:
    """A BigTIFF file of one directory, whose tiles have sides of so many pixels."""
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    tags = [struct.pack(f"{order}HHQQ", tag, 16, 1, side) for tag in (322, 323)]
    return head + struct.pack(f"{order}Q", 2) + b"".join(tags) + struct.pack(f"{order}Q", 0)


for order in "<>":
    case("must have tiles of at most", f"slide_of_absurd_big_tiff_tiles_{order}", how="slide")(
        lambda folder, order=order: save(folder, SLIDE, big_tiff(2**40, order))
    )


def dicom(length: int, count: int) -> bytes:
    """Sequences without a length, one in the other."""
    meta = struct.pack("<HH2sH", 2, 16, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    return bytes(128) + b"DICM" + meta + struct.pack("<HH2sHI", 8, 6, b"SQ", 0, length) * count


case("must be a slide that OpenSlide reads", "slide_of_nested_dicom", how="slide")(
    lambda folder: save(folder, "a.dcm", dicom(0xFFFFFFFF, 200_000))
)

# --- The process that opens them

IN_OPEN, IN_NONBLOCK = 0x20, 0o4000


class Watch:
    """Notes which files of a folder are opened, by Python or any library, in any process."""

    def __init__(self, folder: Path):
        libc = ctypes.CDLL(None)
        self.handle = libc.inotify_init1(IN_NONBLOCK)
        libc.inotify_add_watch(self.handle, os.fsencode(folder), IN_OPEN)

    def seen(self) -> bool:
        try:
            return bool(os.read(self.handle, 4096))
        except BlockingIOError:
            return False


def open_case(how: str, what: list[str]) -> list[Any]:
    """Open what a case is about, and return a few values of it."""
    if how == "latents":
        from caescope.table import read_latents

        return [float(read_latents(what[0]).latents.max())]
    if how == "slide":
        from caescope.slides.opening import open_slide

        slide = open_slide(what[0])
        return [slide.read_region(level, 0, 0, 8, 8).size for level in range(len(slide.level_dimensions))]
    if how.startswith("raising "):
        raise_in_pillow(how.split()[1])
    from caescope.data import open_source

    source = open_source(*what)
    labels = [] if source.labels is None else np.ma.asarray(source.labels).compressed().tolist()
    return [int(source.images.max()), *map(str, labels[:3])]


def raise_in_pillow(name: str) -> None:
    """Let decoders raise what they do on some damaged file."""
    import builtins

    from PIL import ImageFile

    module, _, kind = name.rpartition(".")
    error = getattr(__import__(module), kind) if module else getattr(builtins, kind)

    def load(self):
        raise error("utf-8", b"\xff", 0, 1, "made up") if kind == "UnicodeDecodeError" else error("made up")

    ImageFile.ImageFile.load = load


def answer_of(how: str, what: list[str], outside: Path) -> dict:
    from caescope.errors import InputError

    started: list[str] = []

    def watch(event: str, arguments: tuple) -> None:
        if event in ("os.system", "os.exec", "os.posix_spawn", "pickle.find_class", "os.fork"):
            started.append(event)
        if event == "subprocess.Popen" and arguments[0] != sys.executable:
            started.append(str(arguments[0]))

    watched = Watch(outside)
    sys.addaudithook(watch)
    try:
        answer = {"error": None, "values": open_case(how, what)}
    except InputError as error:
        parts = all(isinstance(part, str) and part for part in (error.must, error.received, error.advice))
        answer = {"error": type(error).__name__, "message": str(error), "parts": parts}
    return answer | {"started": started, "outside": watched.seen()}


def in_a_process(entry: Case, folder: Path) -> dict:
    """Open a case in a copy of this process; return what came of it, seconds and megabytes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(3 * SECONDS)  # machines may be busy; processor time is what counts
        resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)  # for the machine; what counts is measured
        os.chdir(folder)
        try:
            what = json.loads((folder.parent / "what.json").read_text())
            answer = answer_of(entry.how, what, folder.parent / "outside")
        except BaseException as error:
            kind = f"{type(error).__module__}.{type(error).__name__}"
            answer = {"error": kind, "message": str(error)[:2000]}
        users = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        usage = [resource.getrusage(user) for user in users]
        answer["megabytes"] = sum(user.ru_maxrss for user in usage) / 2**10
        answer["seconds"] = sum(user.ru_utime + user.ru_stime for user in usage)
        os.write(writer, json.dumps(answer).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answer = json.loads(content) if content else {"error": "none", "message": ""}
    return answer | {"status": status}


def open_all(root: Path, names: list[str]) -> None:
    import caescope.data
    import caescope.table  # noqa: F401 - imported here once, and not in each process

    for number, (name, entry) in enumerate(CASES.items()):
        if not names or name in names:
            answer = {"name": name} | in_a_process(entry, root / str(number) / "data")
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    open_all(Path(sys.argv[1]).absolute(), sys.argv[2:])
