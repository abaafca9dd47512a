"""Reading whole files so that a damaged or hostile one ends in one sentence."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from caescope.errors import FileFormatError, InputError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20
MOST_UNPACKED = 200  # times as many bytes as there are, beyond a gigabyte; images and tables win less


def existing_file(path: str | os.PathLike) -> Path:
    """Return ``path`` as a Path, or raise FileFormatError where there is no regular file."""
    path = Path(path)
    if not exists(path):
        raise FileFormatError(
            f"{shown(path)} must exist", "no such file", "Check the spelling and the working directory."
        )
    if not path.is_file():
        raise FileFormatError(f"{path} must be a file", "something else", "Give the path of a regular file.")
    return path


def exists(path: Path) -> bool:
    """Tell whether there is something of that name; there is nothing where no file can have it."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or in a folder that is closed to us
        return False


def shown(path: str | os.PathLike) -> str:
    """Return a path as messages have it, however long or strange."""
    text = os.fspath(path)
    return text if text.isprintable() and len(text) < 1000 else printable(text)


@contextmanager
def decoding(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises inside into a FileFormatError that names the file.

    >>> with decoding("a.idx", "an IDX file"):
    ...     raise EOFError("too short")
    Traceback (most recent call last):
    caescope.errors.FileFormatError: a.idx must be readable as ... Received EOFError: too short. ...
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = printable(" ".join(str(error).split())).rstrip(".")
        received = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        advice = "The file is damaged, not readable or of another kind: fetch or write it again."
        raise FileFormatError(f"{path} must be readable as {kind}", received, advice) from error


def printable(text: str, length: int = 200) -> str:
    r"""Return text from a file so that a message may quote it: short, and without control characters.

    >>> printable("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:length])


def read_head(path: str | os.PathLike, size: int = 8) -> bytes:
    """Return the first bytes of a file, of what is inside where it is gzipped."""
    with _open_content(path) as stream:
        return stream.read(size)


def read_bytes(path: str | os.PathLike, limit: int) -> bytes:
    """Return the content of a file, gunzipped where it starts as a gzip file does.

    Parameters
    ----------
    path : path-like
    limit : int, bytes
        A content longer than this is refused while it is read, so a gzip bomb stays small.

    Raises
    ------
    FileFormatError
        If there is no such file, its gzip stream is damaged, or it is longer than ``limit``.
    """
    return _read(path, limit).getvalue()


def read_buffer(path: str | os.PathLike, limit: int, announced: int) -> memoryview:
    """Return what `read_bytes` does in memory that may be written to, so that arrays need no copy.

    Where the first bytes announce how many there are, no more than some beyond those are read.
    """
    return _read(path, limit, announced).getbuffer()


def _read(path: str | os.PathLike, limit: int, announced: int | None = None) -> BytesIO:
    content = BytesIO()
    with _open_content(path) as stream:
        while chunk := stream.read(CHUNK):
            content.write(chunk)
            if announced is not None and announced < content.tell():
                return content
            if content.tell() > limit:
                raise FileFormatError(
                    f"{path} must hold at most {limit / 2**20:g} MiB",
                    "more than that",
                    "Check that it is the file that you mean, or split it.",
                )
    return content


def demand_whole(path: Path) -> None:
    """Refuse a large file that claims to be very much longer than what it takes up on the disk.

    Raises
    ------
    FileFormatError
    """
    facts = path.stat()
    on_disk = 512 * getattr(facts, "st_blocks", 0)  # some file systems do not tell, and say 0
    if on_disk and facts.st_size > max(2**30, MOST_UNPACKED * on_disk):
        received = f"{facts.st_size:,} bytes of which {on_disk:,} are there"
        raise FileFormatError(f"{path} must be whole", received, "Fetch or write it again.")


@contextmanager
def _open_content(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    path = existing_file(path)
    with decoding(path, "a plain or gzipped file"), path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if zipped else file  # pyright: ignore[reportReturnType]
