"""MNIST as the pickle of three (images, labels) pairs that many tutorials use.

A pickle is a program, so nothing of it is trusted. Its opcodes are scanned before it runs, the few NumPy
names that the file needs stand for inert records, any other name is refused, and only once the whole has the
expected structure do the records become arrays.
"""

import os
import pickle
import pickletools
from io import BytesIO
from typing import Any

import numpy as np

from caescope.errors import FileFormatError
from caescope.files import decoding, printable, read_bytes

MAX_BYTES = 512 * 2**20
MAX_OPCODES = 10_000  # six arrays need some hundreds
PIXELS = 28 * 28

Pair = tuple[np.ndarray, np.ndarray]

# No list, dictionary, persistent id, extension or new-object opcode: arrays in tuples need none of them.
_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}
_OTHER_OPCODES = """
    PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD GET BINGET LONG_BINGET MEMOIZE
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3
"""
_OPCODES = _MEMO_OPCODES.union(_OTHER_OPCODES.split())


class _Record:
    """What a pickle says about an object: the arguments it is made from and the state it is given."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state):
        self.state = state


class _ArrayRecord(_Record):
    __slots__ = ()


class _DtypeRecord(_Record):
    __slots__ = ()


_RECORDS = {
    ("numpy.core.multiarray", "_reconstruct"): _ArrayRecord,
    ("numpy._core.multiarray", "_reconstruct"): _ArrayRecord,
    ("numpy", "ndarray"): _ArrayRecord,
    ("numpy", "dtype"): _DtypeRecord,
}


class _RecordUnpickler(pickle.Unpickler):
    """Builds records; nothing that a pickle names is ever imported or called."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _RECORDS[module_name, global_name]
        except KeyError:
            raise _refusal(f"the name {printable(module_name)}.{printable(global_name)}") from None


def _refusal(received: str) -> FileFormatError:
    advice = "Do not load this pickle with anything else unless you trust where it came from."
    return FileFormatError("A MNIST pickle must name NumPy arrays and nothing else", received, advice)


def load_mnist_pickle(path: str | os.PathLike) -> tuple[Pair, Pair, Pair]:
    """Read MNIST from ``mnist.pkl.gz``, without running anything that the pickle may ask for.

    Parameters
    ----------
    path : path-like
        A pickle, gzipped or plain, of three pairs (images, labels), written by Python 2 or 3.

    Returns
    -------
    training_set, validation_set, testing_set : tuple of (X, y)
        X, shape (n, 784), float32 in [0, 1), 28×28 pixels row by row; y, shape (n,), int64.

    Raises
    ------
    FileFormatError
        If there is no such file, it is damaged, or holds anything but those arrays.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition.
    """
    content = read_bytes(path, MAX_BYTES)
    with decoding(path, "a MNIST pickle"):
        _demand_plain_opcodes(content)
        records = _RecordUnpickler(BytesIO(content), encoding="latin1").load()
        return _parse_sets(records)


def _demand_plain_opcodes(content: bytes) -> None:
    """Refuse opcodes that arrays do not need, and memo numbers that make the unpickler allocate gigabytes."""
    for count, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if count == MAX_OPCODES:
            raise _refusal(f"more than {MAX_OPCODES:,} pickle opcodes")
        if opcode.name not in _OPCODES:
            raise _refusal(f"the pickle opcode {opcode.name} {printable(str(argument or ''))}".rstrip())
        if opcode.name in _MEMO_OPCODES and not 0 <= int(argument or 0) <= (position or 0):
            raise _refusal(f"the memo number {argument}")


def _parse_sets(records: Any) -> tuple[Pair, Pair, Pair]:
    _demand(_is_tuple(records, 3) and all(_is_tuple(pair, 2) for pair in records), "another structure")
    training, validation, testing = (_parse_pair(*pair) for pair in records)
    return training, validation, testing


def _parse_pair(images: Any, labels: Any) -> Pair:
    X, y = _parse_array(images, "f4"), _parse_array(labels, "i8")
    shapes_fit = X.ndim == 2 and X.shape[1] == PIXELS and y.shape == X.shape[:1] and len(y) > 0
    _demand(shapes_fit, f"images of shape {X.shape} and labels of shape {y.shape}")
    low, high = X.min(), X.max()
    _demand(bool(low >= 0 and high <= 1), f"pixels from {low:g} to {high:g}")
    return X, y


def _parse_array(record: Any, dtype: str) -> np.ndarray:
    """Return the array that a record describes, which must have the given dtype in either byte order."""
    _demand(isinstance(record, _ArrayRecord) and _is_tuple(record.state, 5), "something that is no array")
    _, shape, dtype_record, fortran_order, data = record.state
    _demand(
        isinstance(dtype_record, _DtypeRecord) and _is_tuple(dtype_record.state, 8), "an array without dtype"
    )
    code, byte_order = dtype_record.arguments[0], dtype_record.state[1]
    is_named = isinstance(code, str) and isinstance(byte_order, str)
    # Tuples in tuples would never end when they are printed
    _demand(is_named, "an array without a dtype's name")
    _demand(code == dtype and byte_order in ("<", ">"), printable(f"dtype {byte_order:.10}{code:.10}"))
    _demand(fortran_order in (0, False), "an array in Fortran order")
    _demand(isinstance(data, (str, bytes)), "an array without bytes")
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, byte_order + dtype).reshape(shape).astype(dtype)


def _is_tuple(value: Any, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length


def _demand(condition: bool, received: str) -> None:
    if not condition:
        raise FileFormatError(
            "A MNIST pickle must hold three pairs of images, float32 in [0, 1] of shape (n, 784), "
            "and labels, int64 of shape (n,)",
            received,
            "Use the original mnist.pkl.gz, or save your own images as an NPZ file with images and labels.",
        )
