import gzip
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caescope.data import idx, load_idx
from caescope.errors import FileFormatError, InputError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def to_idx(array: np.ndarray) -> bytes:
    """The format as its authors describe it: everything with the highest byte first."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
PACKED = gzip.compress(to_idx(SMALL), mtime=0)  # the same in every process, since it names tests


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.dtype(code) for code in CODES]),
        hnp.array_shapes(min_dims=1, max_dims=5, max_side=4),
    )
)
def test_what_is_written_is_read(array):
    found = idx.parse_idx(to_idx(array))
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_gzip_is_seen_in_the_content_not_in_the_name(tmp_path, pack):
    for name in ("images-ubyte", "images-ubyte.gz"):
        (tmp_path / name).write_bytes(pack(to_idx(SMALL)))
        found = load_idx(tmp_path / name)
        np.testing.assert_array_equal(found, SMALL)
        assert found.flags.writeable


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "an empty file"),
        (b"\0\0\x08", "Received 0 0 8. Types are 8, 9, 11, 12, 13, 14"),
        (b"\0\1\x08\1\0\0\0\1\5", "Received 0 1 8 1"),
        (b"\0\0\x0a\1\0\0\0\1\5", "Received 0 0 10 1"),
        (b"\0\0\x08\0\5", "Received 0 0 8 0"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\5", "Received 0 0 8 255"),
        (to_idx(SMALL)[:-1], r"23 bytes for shape \(2, 3, 4\) of uint8"),
        (to_idx(SMALL) + b"\0", r"25 bytes for shape \(2, 3, 4\)"),
        (to_idx(SMALL)[:10], "0 bytes"),
        (b"\0\0\x08\3\0\0\0\0" + b"\xff" * 8, "0 bytes for shape"),
        (b"\0\0\x08\3" + b"\xff" * 12, r"0 bytes for shape \(4294967295, 4294967295, 4294967295\)"),
        (PACKED[:-9], "EOFError"),
        (PACKED[:10] + b"\x07" * 30, "error: Error -3"),
        (PACKED + b"rest", "BadGzipFile"),
    ],
)
def test_files_that_are_not_what_their_header_says(tmp_path, content, received):
    (tmp_path / "a-ubyte").write_bytes(content)
    with pytest.raises(FileFormatError, match=received):
        load_idx(tmp_path / "a-ubyte")


def test_missing_files_and_bombs(tmp_path, monkeypatch):
    with pytest.raises(FileFormatError, match="no such file"):
        load_idx(tmp_path / "nowhere")
    with pytest.raises(FileFormatError, match="must be a file"):
        load_idx(tmp_path)
    monkeypatch.setattr(idx, "MAX_BYTES", 2**20)
    header = b"\0\0\x08\1" + struct.pack(">I", 2**24)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header + bytes(2**24)))
    with pytest.raises(FileFormatError, match="at most 1 MiB"):
        load_idx(tmp_path / "bomb.gz")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packed=st.booleans(), position=st.integers(0, 10**4), patch=st.binary(max_size=4))
def test_no_mutation_raises_anything_but_an_input_error(tmp_path, packed, position, patch):
    content = bytearray(gzip.compress(to_idx(SMALL), mtime=0) if packed else to_idx(SMALL))
    position %= len(content)
    content[position : position + 1] = patch
    (tmp_path / "a").write_bytes(content)
    with suppress(InputError):
        assert load_idx(tmp_path / "a").nbytes > 0


def test_the_real_files(shared_data):
    images = load_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = load_idx(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz")
    assert (images.shape, labels.shape) == ((10_000, 28, 28), (10_000,))
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
