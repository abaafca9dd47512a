"""A folder of image files; its sub-folders, when there are any, are the classes."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from caescope.data.image_file import SUFFIXES, pillow_silence, read_pixels, read_shape
from caescope.data.sources import ArraySource, parse_columns, parse_labels
from caescope.errors import DataError, FileFormatError
from caescope.files import decoding
from caescope.parallel import blocks_of, map_in_order

FILES_AT_A_TIME = 8  # that a thread reads before it reports: fewer handovers between threads


@dataclass(frozen=True, eq=False, repr=False)
class FolderSource:
    """Images that stay in their files until they are asked for, and what is known about each.

    Parameters
    ----------
    root : pathlib.Path
    ids : numpy.ndarray of str, shape (n,)
        Paths below ``root``, with slashes.
    labels : array_like, shape (n,), optional
    columns : mapping of str to array_like, shape (n,), optional
        As in `ArraySource`.

    Raises
    ------
    DataError
        If labels or columns do not fit.

    Examples
    --------
    >>> FolderSource(Path("photos"), np.array(["cat/1.png", "dog/1.png"]), ["cat", "dog"])
    FolderSource('photos', 2 images, labelled)
    """

    root: Path
    ids: np.ndarray
    labels: Any = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    split: ClassVar[None] = None

    def __post_init__(self):
        if self.labels is not None:
            object.__setattr__(self, "labels", parse_labels(self.labels, len(self)))
        object.__setattr__(self, "columns", parse_columns(self.columns, len(self)))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        labelled = "" if self.labels is None else ", labelled"
        return f"FolderSource({self.name!r}, {len(self)} images{labelled})"

    @property
    def name(self) -> str:
        """What messages and reports call it: the folder's name."""
        return self.root.resolve().name

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image, from the headers of all files.

        Raises
        ------
        DataError, FileFormatError
            If the images differ in size, or a header cannot be read.
        """
        shapes = self._of_every_file(read_shape)
        _demand_one_size(shapes, self.ids, self.root)
        return *shapes[0][:2], max(channels for *_, channels in shapes)

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices`` (integers, a slice or a mask), uint8, channels last.

        They are decoded in the calling thread, so that several threads can each read their own.

        Raises
        ------
        DataError, FileFormatError
            As in `load_folder`.
        """
        names = self.ids[indices]
        images = np.empty((len(names), *self.shape), np.uint8)
        with pillow_silence:
            for image, name in zip(images, names, strict=True):
                pixels = read_pixels(self._path(name))
                if pixels.shape[:2] != self.shape[:2]:  # a header may lie, or the file be another by now
                    raise _size_error(self.root, "the headers", self.shape, name, pixels.shape)
                image[...] = pixels if pixels.ndim == 3 else pixels[..., None]
        return images

    def load(self) -> ArraySource:
        """Return the same images in memory, decoded on all cores.

        Raises
        ------
        DataError, FileFormatError
            As in `load_folder`.
        """
        images = _stack(self._of_every_file(read_pixels), self.ids, self.root)
        return ArraySource(images, self.labels, self.ids, name=self.name, columns=self.columns)

    def _of_every_file(self, read) -> list:
        """Return what ``read`` says of each file, in order, from all cores."""

        def read_block(rows: slice) -> list:
            return [read(self._path(name)) for name in self.ids[rows]]

        with pillow_silence:
            blocks = blocks_of(len(self), FILES_AT_A_TIME)
            return list(chain.from_iterable(map_in_order(read_block, blocks)))

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)


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
    ids = sorted(file.relative_to(root).as_posix() for file in _walk(root, root.resolve()))
    if not ids:
        raise DataError(
            f"{root} must hold images", "no image file", f"Known suffixes are {', '.join(SUFFIXES)}."
        )
    return FolderSource(root, np.array(ids), _labels_of(ids, root))


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the image files below ``folder``, none of them hidden, without leaving ``root``."""
    with decoding(folder, "a folder"):
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        is_folder = entry.is_dir()
        if not is_folder and entry.suffix.lower() not in SUFFIXES:
            continue
        if entry.is_symlink():
            _demand_inner_link(entry, root)
        if is_folder:
            yield from _walk(entry, root)
        elif entry.is_file():
            yield entry


def _demand_inner_link(link: Path, root: Path) -> None:
    """Allow links to files of the same folder; links to folders could go round in circles."""
    if link.is_dir() or not Path(os.path.realpath(link)).is_relative_to(root):
        raise FileFormatError(
            "A link in a folder of images must lead to a file in that folder",
            f"the link {link} to {os.path.realpath(link)}",
            "Copy what it leads to, or give the folder that holds the files themselves.",
        )


def _labels_of(ids: list[str], root: Path) -> list[str] | None:
    loose = [name for name in ids if "/" not in name]
    if len(loose) == len(ids):
        return None
    if loose:
        raise DataError(
            f"The images of {root} must all lie in sub-folders, the classes, or all outside of them",
            f"{len(loose)} images outside, for example {loose[0]}",
            "Move them into a sub-folder of their own.",
        )
    return [PurePosixPath(name).parts[0] for name in ids]


def _stack(arrays: list[np.ndarray], ids: np.ndarray, root: Path) -> np.ndarray:
    """Join images of one size; each is let go once it is copied, so that all are in memory only once."""
    _demand_one_size([array.shape for array in arrays], ids, root)
    channels = 3 if any(array.ndim == 3 for array in arrays) else 1
    images = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for i in range(len(images)):
        pixels, arrays[i] = arrays[i], arrays[0][:0]
        images[i] = pixels if pixels.ndim == 3 else pixels[..., None]
    return images


def _demand_one_size(shapes: Sequence[tuple[int, ...]], ids: np.ndarray, root: Path) -> None:
    sizes = [shape[:2] for shape in shapes]
    (common, count), *others = Counter(sizes).most_common()
    if others:
        i = next(i for i, size in enumerate(sizes) if size != common)
        raise _size_error(root, f"{count} of {len(sizes)}", common, ids[i], sizes[i])


def _size_error(
    root: Path, others: str, common: tuple[int, ...], name: str, size: tuple[int, ...]
) -> DataError:
    return DataError(
        f"The images of {root} must all have one size",
        f"{others} with {common[0]}×{common[1]} pixels (height × width), but {name} with {size[0]}×{size[1]}",
        "Crop or resize them to one size first.",
    )
