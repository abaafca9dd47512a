import gzip
import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caescope.data import load_mnist_pickle, mnist_pickle
from caescope.errors import FileFormatError, InputError

X = np.linspace(0, 0.99, 3 * 784, dtype=np.float32).reshape(3, 784)
Y = np.array([5, 0, 4])


def binstring(data: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(data)) + data


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def array_opcodes(shape, dtype: bytes, data: bytes, order=b"<") -> bytes:
    """An array exactly as NumPy under Python 2 pickled it with protocol 2."""
    new_array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
    new_dtype = b"cnumpy\ndtype\nU\x02" + dtype + b"K\0K\x01\x87R(K\x03U\x01" + order + b"NNN"
    new_dtype += integer(-1) + integer(-1) + b"K\0tb"
    sizes = b"(" + b"".join(integer(size) for size in shape) + b"t"
    return new_array + b"(K\x01" + sizes + new_dtype + b"\x89" + binstring(data) + b"tb"


def pair(X=X, Y=Y) -> bytes:
    codes = {4: b"f4", 8: b"i8"}
    x, y = (array_opcodes(a.shape, codes[a.itemsize], a.tobytes()) for a in (X, Y))
    return x + y + b"\x86"


def python2_pickle(first=None) -> bytes:
    return b"\x80\x02" + (first or pair()) + pair(X[:2], Y[:2]) + pair(X[:1], Y[:1]) + b"\x87."


@pytest.fixture
def load(tmp_path):
    def write_and_load(content: bytes, name="mnist.pkl"):
        (tmp_path / name).write_bytes(content)
        return load_mnist_pickle(tmp_path / name)

    return write_and_load


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_python_2_pickle_gives_three_pairs(load, pack):
    (X_train, y_train), validation, testing = load(pack(python2_pickle()))
    np.testing.assert_array_equal(X_train, X)
    np.testing.assert_array_equal(y_train, Y)
    assert (X_train.dtype, y_train.dtype) == (np.float32, np.int64)
    assert [len(validation[0]), len(testing[1])] == [2, 1]
    assert X_train.flags.writeable


def test_the_handmade_pickle_is_what_python_reads(load):
    """The unrestricted unpickler agrees, so the tests below start from a real file of that kind."""
    expected = pickle.loads(python2_pickle(), encoding="latin1")
    np.testing.assert_array_equal(load(python2_pickle())[0][0], expected[0][0])


def test_both_byte_orders(load):
    swapped = array_opcodes(X.shape, b"f4", X.astype(">f4").tobytes(), b">") + array_opcodes(
        Y.shape, b"i8", Y.tobytes()
    )
    np.testing.assert_array_equal(load(python2_pickle(swapped + b"\x86"))[0][0], X)


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_python_3(load, protocol):
    sets = ((X, Y), (X[:2], Y[:2]), (X[:1], Y[:1]))
    np.testing.assert_array_equal(load(pickle.dumps(sets, protocol))[0][0], X)


class Runs:
    """Unpickling this anywhere else calls ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("where", ["alone", "in a pair", "as an argument"])
@pytest.mark.parametrize(
    ("function", "code"), [(os.system, "touch {}"), (eval, "open({!r}, 'w')"), (exec, "open({!r}, 'w')")]
)
def test_nothing_that_a_pickle_names_is_run(load, tmp_path, protocol, where, function, code):
    trace = tmp_path / "trace"
    bomb = Runs(function, code.format(str(trace)))
    hostile = {"alone": bomb, "in a pair": ((X, bomb),) * 3, "as an argument": Runs(Runs, bomb)}[where]
    with pytest.raises(FileFormatError, match=r"must name NumPy arrays and nothing else.*(name|opcode)"):
        load(pickle.dumps(hostile, protocol))
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["posix system", "builtins eval", "__builtin__ eval", "numpy load", "numpy.core.multiarray scalar",
     "copyreg _reconstructor", "numpy ndarray.tofile",
     "numpy.f2py.crackfortran myeval", "numpy _reconstruct"],
)  # fmt: skip
def test_the_refusal_says_which_name(load, name):
    module, attribute = name.split()
    with pytest.raises(FileFormatError, match=f"the name {module}.{attribute}"):
        load(f"c{module}\n{attribute}\n(S'x'\ntR.".encode())
    stacked = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, attribute))
    with pytest.raises(FileFormatError, match=f"the name {module}.{attribute}"):
        load(b"\x80\x04" + stacked + b"\x93.")


def test_a_name_cannot_write_to_the_terminal(load):
    with pytest.raises(FileFormatError, match=r"the name os\\x1b\[2J\.a+\. Do"):
        load(b"cos\x1b[2J\n" + b"a" * 10_000 + b"\n.")


@pytest.mark.parametrize(
    ("content", "opcode"),
    [
        (b"(S'x'\niposix\nsystem\n.", "INST posix system"),
        (b"(cnumpy\ndtype\nS'f4'\no.", "OBJ"),
        (b"cnumpy\ndtype\n)\x81.", "NEWOBJ"),
        (b"Pwhatever\n.", "PERSID whatever"),
        (b"Nq\0Q.", "BINPERSID"),
        (b"\x82\x01.", "EXT1"),
        (b"}(S'a'\nNu.", "EMPTY_DICT"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\0\0\0.", "damaged"),
        (b"\x80\x05\x8e\xff\xff\xff\xff\xff\0\0\0.", "damaged"),
    ],
)
def test_other_opcodes_are_refused(load, content, opcode):
    with pytest.raises(FileFormatError, match=opcode):
        load(content, "x.pkl")


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"r\xff\xff\xff\xff", b"p2147483647\n", b"p-1\n"])
def test_a_memo_number_cannot_take_memory(load, put):
    with pytest.raises(FileFormatError, match="memo number"):
        load(b"\x80\x02N" + put + b".")


def test_a_name_cannot_be_changed_by_a_pickle(load):
    """BUILD on the class itself would change it for every later file."""
    for name in (b"numpy\ndtype", b"numpy\nndarray", b"numpy.core.multiarray\n_reconstruct"):
        with pytest.raises(FileFormatError, match="must be readable as a MNIST pickle"):
            load(b"\x80\x02c" + name + b"\nN(K\1tb.")
    assert len(load(python2_pickle())[0][0]) == 3


def array(shape=(3, 784), dtype=b"f4", data=None):
    return array_opcodes(shape, dtype, X.tobytes() if data is None else data)


LABELS = array((3,), b"i8", Y.tobytes())


@pytest.mark.parametrize(
    ("first", "received"),
    [
        (array(dtype=b"O8") + LABELS + b"\x86", "dtype <O8"),
        (array(dtype=b"V9") + LABELS + b"\x86", "dtype <V9"),
        (array((3, 392), b"f8") + LABELS + b"\x86", "dtype <f8"),
        (array() + array((3,), b"O8", Y.tobytes()) + b"\x86", "dtype <O8"),
        (array((2**31 - 1, 2**31 - 1)) + LABELS + b"\x86", "ValueError"),
        (array((6, 392)) + LABELS + b"\x86", r"images of shape \(6, 392\)"),
        (array((2, 784), data=X[:2].tobytes()) + LABELS + b"\x86", r"labels of shape \(3,\)"),
        (array(data=X.tobytes()[:-1]) + LABELS + b"\x86", "ValueError"),
        (array((0, 784), data=b"") + array((0,), b"i8", b"") + b"\x86", r"images of shape \(0, 784\)"),
        (array(data=(X + 1).tobytes()) + LABELS + b"\x86", "pixels from 1 to 1.99"),
        (array(data=(X * np.nan).tobytes()) + LABELS + b"\x86", "pixels from nan"),
        (array() + LABELS + LABELS + b"\x87", "another structure"),
        (array(), "another structure"),
        (b"K\1K\2\x86", "no array"),
        (b"cnumpy\nndarray\n" + LABELS + b"\x86", "no array"),
        (array().replace(b"\x89T", b"\x88T") + LABELS + b"\x86", "Fortran"),
        (
            array(data=b"").replace(b"\x89T\0\0\0\0", b"\x89J\xff\xff\xff\x7f") + LABELS + b"\x86",
            "without bytes",
        ),
    ],
)
def test_only_the_expected_structure_becomes_arrays(load, first, received):
    with pytest.raises(FileFormatError, match=received):
        load(python2_pickle(first))


def test_damaged_files(load, tmp_path):
    packed = gzip.compress(python2_pickle())
    for content in (b"", b"\x80", packed[:-20], packed[:40], python2_pickle()[:-1], b"(" * 10_000):
        with pytest.raises(FileFormatError, match=r"must be readable as .* Received \w+"):
            load(content)
    with pytest.raises(FileFormatError, match="no such file"):
        load_mnist_pickle(tmp_path / "missing.pkl.gz")
    with pytest.raises(FileFormatError, match="must be a file"):
        load_mnist_pickle(tmp_path)


def test_deep_nesting_is_no_crash(load):
    with pytest.raises(FileFormatError, match="another structure"):
        load(b"\x80\x02)" + b"\x85" * 9_000 + b".")
    with pytest.raises(FileFormatError, match="more than 10,000 pickle opcodes"):
        load(b"\x80\x02)" + b"\x85" * 200_000 + b".")


def test_a_gzip_bomb_is_stopped_at_the_limit(load, monkeypatch):
    monkeypatch.setattr(mnist_pickle, "MAX_BYTES", 2**20)
    with pytest.raises(FileFormatError, match="at most 1 MiB"):
        load(gzip.compress(bytes(2**24)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 10**6), st.binary(max_size=3)), min_size=1, max_size=6
    )
)
def test_no_mutation_raises_anything_but_an_input_error(load, edits):
    """Half of the edits go to the program between the pixels, which is where the opcodes are."""
    content = bytearray(python2_pickle())
    for in_head, position, patch in edits:
        position %= 220 if in_head else len(content)
        content[position : position + 1] = patch
    with suppress(InputError):
        assert all(len(images) == len(labels) for images, labels in load(bytes(content)))


def test_the_real_file(shared_data):
    sets = load_mnist_pickle(shared_data / "mnist" / "mnist.pkl.gz")
    assert [images.shape for images, _ in sets] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    for images, labels in sets:
        assert (images.dtype, labels.dtype) == (np.float32, np.int64)
        assert images.min() == 0
        assert images.max() == 255 / 256
        assert labels.shape == images.shape[:1]
    counts = sum(np.bincount(labels, minlength=10) for _, labels in sets)
    assert counts.tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
