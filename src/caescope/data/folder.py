"""A folder of image files; its sub-folders, when there are any, are the classes."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from itertools import chain
from math import prod
from pathlib import Path
from sys import intern
from typing import Any, ClassVar

import numpy as np

from caescope.data.fitting import Fit
from caescope.data.image_file import SUFFIXES, pillow_silence, read_pixels, read_shape
from caescope.data.inner_files import walk_images
from caescope.data.one_size import colour_error, demand_one_size, size_error, stack_images
from caescope.data.sources import ArraySource, parse_facts
from caescope.errors import DataError, FileFormatError
from caescope.parallel import blocks_of, map_in_order
from caescope.processes import have_processes, in_process
from caescope.storage import Place

FILES_AT_A_TIME = 8  # that a thread reads before it reports: fewer handovers between threads
FILES_ELSEWHERE = 256  # that a process does
MANY = 10_000  # files that are worth the second that it takes to start processes
SMALL = 64 * 64 * 3  # numbers of an image that takes longer to open than to decode and to hand over


@dataclass(frozen=True, eq=False, repr=False)
class FolderSource:
    """Images that stay in their files until they are asked for, and what is known about each.

    Parameters
    ----------
    root : pathlib.Path
        Or a place on storage; see `caescope.data.remote_folder.RemoteFolderSource`.
    ids : numpy.ndarray of str, shape (n,)
        Paths below ``root``, with slashes.
    labels : array_like, shape (n,), optional
    columns : mapping of str to array_like, shape (n,), optional
    split : array_like of str, shape (n,), optional
        As in `ArraySource`.
    name : str, optional
        What messages and reports call it; the folder's name by default.
    fit : Fit, optional
        What is done to every image while it is read, so that all have one size.
    skipped : sequence of (str, str)
        Paths of images that were left out, and why.

    Raises
    ------
    DataError
        If labels, columns or split do not fit, or a path comes twice.

    Examples
    --------
    >>> FolderSource(Path("photos"), np.array(["cat/1.png", "dog/1.png"]), ["cat", "dog"])
    FolderSource('photos', 2 images, labelled)
    """

    root: Path | Place
    ids: np.ndarray
    labels: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    split: Any = None
    name: str = ""
    fit: Fit | None = None
    skipped: Sequence[tuple[str, str]] = ()
    _threads: ClassVar[int | None] = None  # that go through all files: one for each core

    def __post_init__(self):
        facts = parse_facts(len(self.ids), self.labels, self.ids, self.split, self.columns)
        for key, value in {**facts, "name": self.name or _name_of(self.root)}.items():
            object.__setattr__(self, key, value)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        labelled = "" if self.labels is None else ", labelled"
        return f"{type(self).__name__}({self.name!r}, {len(self)} images{labelled})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image, from the headers of all files, read once.

        Raises
        ------
        DataError, FileFormatError
            If the images differ in size, or a header cannot be read.
        """
        return self._shape

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        # numbers in place of tuples: of very many files those would take more than all else
        ids = self._measured
        found = self._of_each(ids, FolderSource._fitted_shape, self._has_many)
        shapes = np.fromiter(found, np.dtype((np.int32, 3)), len(ids))
        demand_one_size(shapes, ids, self.root)
        height, width, _ = shapes[0].tolist()
        return height, width, int(shapes[:, 2].max())

    @property
    def _measured(self) -> np.ndarray:
        """The images that tell the shape: all of them."""
        return self.ids

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), uint8, channels last.

        They are decoded in the calling thread, so that several threads can each read their own. Of small
        images Python's part takes longest, and only one thread at a time can do it; where there are many,
        processes read them for whoever asks for more than a few.

        Raises
        ------
        DataError, FileFormatError
            As in `load_folder`.
        """
        names = self.ids[indices]
        if len(names) > FILES_AT_A_TIME and self._has_many and self._is_small:
            return in_process(self._nameless._read_names, names, self.shape)
        return self._read_names(names, self.shape)

    def _read_names(self, names: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Return images by name, which are to have that shape; else as `read`."""
        images = np.empty((len(names), *shape), np.uint8)
        with pillow_silence:
            for image, name, pixels in zip(images, names, self._read_each(names), strict=True):
                if pixels.shape[:2] != shape[:2]:  # a header may lie, or the file be another by now
                    raise size_error(self.root, "the headers", shape, name, pixels.shape)
                if pixels.shape[2] > shape[2]:
                    raise colour_error(self.root, name)
                image[...] = pixels
        return images

    def load(self) -> ArraySource:
        """Return the same images in memory, decoded on all cores.

        Raises
        ------
        DataError, FileFormatError
            As in `load_folder`.
        """
        pixels = self._of_each(self.ids, FolderSource._fitted_pixels, self._has_many and self._is_small)
        images = stack_images(list(pixels), self.ids, self.root)
        return ArraySource(images, self.labels, self.ids, self.split, self.name, self.columns)

    def scan(self) -> list[tuple[str, str]]:
        """Return the path of every image that cannot be read, and why; all are decoded, on all cores."""
        reasons = self._of_each(self.ids, FolderSource._reason_against, self._has_many)
        return [(name, reason) for name, reason in zip(self.ids.tolist(), reasons, strict=True) if reason]

    def stamp(self) -> str:
        """Return a digest of the size and age of each file, and what is done to the images, as text."""
        digest = sha256()
        for name in self.ids:
            file = os.stat(self._path(name))
            digest.update(f"{file.st_size} {file.st_mtime_ns};".encode())
        return f"{digest.hexdigest()} {self.fit!r}"

    def take(self, indices) -> "FolderSource":
        """Return the source of the images at ``indices`` (integers, a slice or a mask) alone."""
        facts = {name: getattr(self, name) for name in ("ids", "labels", "split")}
        facts = {name: values if values is None else values[indices] for name, values in facts.items()}
        columns = {name: values[indices] for name, values in self.columns.items()}
        return replace(self, **facts, columns=columns)

    def _of_each(
        self, names: np.ndarray, read: Callable[["FolderSource", str], Any], elsewhere: bool
    ) -> Iterator:
        """Yield what ``read`` says of each image, in order, from threads or processes on all cores."""
        each = partial(in_process, _each, self._nameless) if elsewhere else partial(_each, self)
        blocks = blocks_of(len(names), FILES_ELSEWHERE if elsewhere else FILES_AT_A_TIME)
        parts = ((read, names[rows]) for rows in blocks)
        yield from chain.from_iterable(map_in_order(lambda part: each(*part), parts, self._threads))

    @property
    def _has_many(self) -> bool:
        """Whether there are images enough for other processes; threads that wait for storage need none."""
        return self._threads is None and len(self) >= MANY and have_processes()

    @cached_property
    def _is_small(self) -> bool:
        """Whether pixels are soon handed over between processes, by the first image's."""
        return prod(self._fitted_shape(self.ids[0])) <= SMALL

    @cached_property
    def _nameless(self) -> "FolderSource":
        """What can be handed to other processes without all names."""
        return replace(self, ids=self.ids[:0], labels=None, split=None, columns={}, skipped=())

    def _read_each(self, names: np.ndarray) -> Iterator[np.ndarray]:
        return map(self._fitted_pixels, names)

    def _fitted_shape(self, name: str) -> tuple[int, int, int]:
        shape = self._shape_in(name)
        return self.fit.shape_of(shape, name) if self.fit else shape

    def _fitted_pixels(self, name: str) -> np.ndarray:
        pixels = self._pixels_in(name)
        if self.fit:
            return self.fit(pixels, name)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _reason_against(self, name: str) -> str | None:
        try:
            self._pixels_in(name)
        except FileFormatError as error:
            return error.received
        return None

    def _shape_in(self, name: str) -> tuple[int, int, int]:
        return read_shape(self._path(name))

    def _pixels_in(self, name: str) -> np.ndarray:
        return read_pixels(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(str(self.root), name)


def _each(source: FolderSource, read: Callable[[FolderSource, str], Any], names: np.ndarray) -> list:
    with pillow_silence:
        return [read(source, name) for name in names]


def load_folder(path: str | os.PathLike) -> ArraySource:
    """Read all images of a folder into memory, on all cores.

    Parameters
    ----------
    path : path-like
        A folder of PNG, JPEG, TIFF, WebP or BMP files of one size, or of sub-folders with such files. Other
        files and hidden ones are left out; of a file with several frames the first is read.

    Returns
    -------
    ArraySource
        Images of dtype uint8: grey if every file is grey, else RGB; transparency is put on white, the EXIF
        orientation is applied, and 16-bit grey is scaled from [0, 65535] to [0, 255]. Labels are the names of
        the first sub-folders, ids the paths relative to the folder, sorted.

    Raises
    ------
    DataError
        If there is no image, or they differ in size, or some lie in classes and some do not.
    FileFormatError
        If there is no such folder, an image cannot be read or is gigantic, or a link leads out of the folder.
    """
    return find_folder(path).load()


def find_folder(path: str | os.PathLike) -> FolderSource:
    """Return the images of a folder as `load_folder` finds them, without reading any.

    Raises
    ------
    DataError
        If there is no image, or some lie in classes and some do not.
    FileFormatError
        If there is no such folder, or a link leads out of it.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileFormatError(f"{root} must exist", "no such folder", "Check the spelling.")
    ids = sorted(file.relative_to(root).as_posix() for file in walk_images(root, root.resolve()))
    return FolderSource(root, np.array(ids), labels_of(ids, root))


def labels_of(ids: list[str], root: Path | Place) -> list[str] | None:
    """Return the first sub-folder of each image as its label; None where none lies in one.

    Raises
    ------
    DataError
        If there is no image, or some lie in sub-folders and some do not.
    """
    if not ids:
        raise DataError(
            f"{root} must hold images", "no image file", f"Known suffixes are {', '.join(SUFFIXES)}."
        )
    loose = [name for name in ids if "/" not in name]
    if len(loose) == len(ids):
        return None
    if loose:
        raise DataError(
            f"The images of {root} must all lie in sub-folders, the classes, or all outside of them",
            f"{len(loose)} images outside, for example {loose[0]}",
            "Move them into a sub-folder of their own.",
        )
    return [intern(name.partition("/")[0]) for name in ids]  # one text for each class, not for each image


def _name_of(root: Path | Place) -> str:
    return root.resolve().name if isinstance(root, Path) else root.name
