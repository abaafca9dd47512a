"""Single files on storage, copied once into this machine's cache and read there."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from caescope.data.named import default_cache
from caescope.errors import FileFormatError
from caescope.storage import ENDPOINTS, Place, called, find_place, is_remote, path_or_url, reading
from caescope.writing import replacing, writing

CHUNK = 8 * 2**20  # bytes that are copied at a time
LONGEST_NAME = 200  # bytes; file systems allow 255, some of which go to a file that is being written


@dataclass(frozen=True)
class StoredFile:
    """A file on storage as it was when `find_stored` found it.

    It may be pickled: `fetch` copies the file again where its copy is missing, as on another machine.

    Attributes
    ----------
    url : str
    size : int, bytes
    mtime_ns : int
        When it was last written, in nanoseconds, as storage tells.
    """

    url: str
    size: int
    mtime_ns: int

    def fetch(self) -> Path:
        """Return a copy on this machine's disk, made now where there is none.

        Raises
        ------
        DataError, FileFormatError
            If it cannot be read, or is another file by now.
        OutputError
            If the cache cannot be written.
        """
        copy = self.copy
        if not _is_whole(copy, self.size):
            with _alone(copy):
                if not _is_whole(copy, self.size):
                    self._write(copy)
        return copy

    @property
    def copy(self) -> Path:
        """Where `fetch` puts the copy."""
        servers = [os.environ.get(name, "") for name in ENDPOINTS]
        facts = (self.url, servers, self.size, self.mtime_ns)
        return cache_folder() / hashlib.sha256(repr(facts).encode()).hexdigest()[:32] / self._name()

    def _name(self) -> str:
        name = find_place(self.url).name
        if name.startswith("."):
            return "file"
        if name.isprintable() and len(os.fsencode(name)) <= LONGEST_NAME and not set(name) & set('\\:*?"<>|'):
            return name
        return "file" + "".join(Path(name).suffixes[-2:] if name.isascii() and name.isprintable() else ())

    def _write(self, copy: Path) -> None:
        place = find_place(self.url)
        if find_stored(place) != self:
            raise FileFormatError(
                f"{place} must be the file that it was at the start",
                "one of another size or age",
                "Let files be while they are used, and start again.",
            )
        with replacing(copy) as new, open(new, "r+b") as target:
            for chunk in _chunks_of(place):
                target.write(chunk)
            target.flush()
            if target.tell() != self.size:
                raise FileFormatError(
                    f"{place} must have {self.size:,} bytes", f"{target.tell():,}", "Try again."
                )
            os.utime(new, ns=(self.mtime_ns, self.mtime_ns))  # the same on every machine


def find_stored(place: Place) -> StoredFile:
    """Return a file on storage as it is now.

    Raises
    ------
    DataError, FileFormatError
        If there is no such file, or storage does not answer.
    """
    from pyarrow.fs import FileType

    with reading(place):
        info = place.filesystem.get_file_info(place.path)
        if info.type == FileType.NotFound:
            raise FileNotFoundError
    if info.type != FileType.File:
        raise FileFormatError(f"{place} must be a file", "a folder", "Give the URL of a file.")
    return StoredFile(str(place), info.size, info.mtime_ns or 0)


def is_folder(place: Place) -> bool:
    """Tell whether there is a folder: what a URL with a slash at its end means, or that of no file.

    Raises
    ------
    DataError, FileFormatError
        If there is nothing of that name, or storage does not answer.
    """
    from pyarrow.fs import FileType

    with reading(place):
        kind = place.filesystem.get_file_info(place.path).type
        if kind == FileType.NotFound and not place.base.endswith("/"):
            raise FileNotFoundError
    return kind != FileType.File or place.base.endswith("/")


def local_copy(path: str | os.PathLike) -> Path:
    """Return a path that is on this machine: the path itself, or that of a copy.

    Raises
    ------
    DataError, FileFormatError, OptionError, OutputError
        If a file on storage cannot be read, or not be copied.
    """
    return find_stored(find_place(path)).fetch() if is_remote(path) else Path(path)


@contextmanager
def copied(path: str | os.PathLike) -> Iterator[Path]:
    """Yield what `local_copy` does, and name ``path`` in what is said against the copy."""
    copy = local_copy(path)
    with called(copy, str(path_or_url(path))):
        yield copy


def cache_folder() -> Path:
    """Return the folder of the copies; what is in it may be removed at any time that nothing is read."""
    cache = default_cache()
    return (cache if os.environ.get("CAESCOPE_CACHE") else cache.parent) / "storage"


@contextmanager
def _alone(copy: Path) -> Iterator[None]:
    """Let processes that start together copy a file once."""
    lock = FileLock(copy.with_name(".lock"))
    with writing(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_whole(copy: Path, size: int) -> bool:
    try:
        return copy.stat().st_size == size
    except OSError:
        return False


def _chunks_of(place: Place) -> Iterator[bytes]:
    with reading(place), place.filesystem.open_input_file(place.path) as file:
        while chunk := file.read(CHUNK):
            yield chunk
