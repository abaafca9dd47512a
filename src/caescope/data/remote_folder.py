"""Images of a folder on storage, each read from there when it is asked for."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, BinaryIO, ClassVar, NamedTuple, cast

import numpy as np

from caescope.data.folder import FolderSource, labels_of
from caescope.data.image_file import SUFFIXES, read_pixels, read_shape
from caescope.errors import FileFormatError
from caescope.files import printable
from caescope.parallel import map_in_order
from caescope.storage import Place, reading

AT_ONCE = 16  # threads that wait for storage, most of the time
HEADER_BYTES = 64 * 2**10  # read at a time for a shape, which tells nearly all headers
MOST_MEASURED = 10_000  # headers that tell the shape; on storage each costs two requests
WHOLE_BYTES = 8 * 2**20  # an image up to here is read by one request, and a larger one in pieces of this size


class Listed(NamedTuple):
    """A file of a folder on storage: its name below the folder, with slashes, and what tells its version."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, eq=False, repr=False)
class RemoteFolderSource(FolderSource):
    """Images that stay on storage until they are asked for, and what is known about each.

    Each is read into memory, by several threads at a time, and not copied to the disk. The same limits and
    rules hold as for those of a folder on this machine's disk, but that no more than MOST_MEASURED images,
    evenly spread, tell the shape; one of another shape comes up when it is read.

    Parameters
    ----------
    root : Place
    versions : numpy.ndarray of int64, shape (n, 2)
        Size in bytes and age in nanoseconds of each file, as they were listed.
    ids, labels, columns, split, name, fit, skipped
        As in `FolderSource`.

    Raises
    ------
    DataError
        When read: if storage does not answer. Such an image does not count as unreadable.
    """

    root: Place
    versions: np.ndarray = field(kw_only=True)
    _threads: ClassVar[int | None] = AT_ONCE

    def stamp(self) -> str:
        """Return a digest of the size and age of each file, and what is done to the images, as text."""
        return f"{sha256(np.ascontiguousarray(self.versions).data).hexdigest()} {self.fit!r}"

    def take(self, indices) -> "RemoteFolderSource":
        """Return the source of the images at ``indices`` (integers, a slice or a mask) alone."""
        return cast(RemoteFolderSource, replace(super().take(indices), versions=self.versions[indices]))

    @property
    def _measured(self) -> np.ndarray:
        n = len(self)
        return self.ids if n <= MOST_MEASURED else self.ids[np.linspace(0, n - 1, MOST_MEASURED).astype(int)]

    def _read_each(self, names: np.ndarray) -> Iterator[np.ndarray]:
        if len(names) < 2:
            return super()._read_each(names)
        return map_in_order(self._fitted_pixels, names, min(AT_ONCE, len(names)))

    def _shape_in(self, name: str) -> tuple[int, int, int]:
        with _opened(self.root / name, HEADER_BYTES) as file:
            return read_shape(self._path(name), file)

    def _pixels_in(self, name: str) -> np.ndarray:
        with _opened(self.root / name, WHOLE_BYTES) as file:
            return read_pixels(self._path(name), file)

    def _path(self, name: str) -> str:
        return str(self.root / name)


def find_remote_folder(place: Place) -> RemoteFolderSource:
    """Return the images of a folder on storage, as `find_folder` does those of a disk, without reading any.

    Names that start with a dot, and what is below them, are left out.

    Raises
    ------
    DataError
        If there is no image, some lie in classes and some do not, or storage does not answer.
    FileFormatError
        If there is no such folder or bucket, or a name leads out of the folder.
    """
    files = [file for file in list_files(place, SUFFIXES) if "/." not in f"/{file.name}"]
    ids = [file.name for file in files]
    labels = labels_of(ids, place)
    return RemoteFolderSource(place, np.array(ids), labels, versions=versions_of(files))


def versions_of(files: list[Listed]) -> np.ndarray:
    """Return size and age of each file, int64, shape (n, 2)."""
    return np.array([file[1:] for file in files], np.int64).reshape(-1, 2)


def list_files(folder: Place, suffixes: tuple[str, ...]) -> list[Listed]:
    """Return the files below a folder with one of some suffixes, sorted by name.

    Raises
    ------
    DataError, FileFormatError
        If there is no such folder or bucket, storage does not answer, or a name leads out of the folder.
    """
    from pyarrow.fs import FileSelector, FileType

    with reading(folder):
        found = folder.filesystem.get_file_info(FileSelector(folder.path, recursive=True))
    start = len(folder.path) + 1
    files = [
        Listed(info.path[start:], info.size, info.mtime_ns or 0)
        for info in found
        if info.type == FileType.File and info.path.lower().endswith(suffixes)
    ]
    for file in files:
        _demand_plain(file.name, folder)
    return sorted(files)


def _demand_plain(name: str, folder: Place) -> None:
    """Refuse what storage allows and no disk has: other programs would look for it elsewhere."""
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
        raise FileFormatError(
            f"{folder} must hold files whose names have no part between slashes that is empty or dots",
            repr(printable(name)),
            "Rename it, or give a folder without it.",
        )


@contextmanager
def _opened(place: Place, together: int) -> Iterator[BinaryIO]:
    """Yield a file on storage: in memory up to a size, else read by so many bytes at a time."""
    with reading(place):
        raw = place.filesystem.open_input_file(place.path)
    with raw:
        if raw.size() > together:
            yield cast(BinaryIO, io.BufferedReader(_Pieces(raw, place), together))
        else:
            with reading(place):
                content = raw.read()
            yield io.BytesIO(content)


class _Pieces(io.RawIOBase):
    """A file on storage as the standard library has files; what goes wrong is said as `reading` says it."""

    def __init__(self, file: Any, place: Place):
        self._file, self._place = file, place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._asked(lambda: self._file.readinto(buffer))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._asked(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._file.tell()

    def _asked(self, question: Callable[[], int]) -> int:
        with reading(self._place):
            return question()
