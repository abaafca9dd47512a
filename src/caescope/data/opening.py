"""The front door: whatever the user calls a source becomes one."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caescope.data.arrays import load_npy, load_npz
from caescope.data.fetched import in_any_process
from caescope.data.fetching import copied, find_stored, is_folder
from caescope.data.fitting import Fit
from caescope.data.folder import FolderSource, find_folder
from caescope.data.hdf5 import MAGIC, find_hdf5
from caescope.data.idx import is_idx, load_idx
from caescope.data.inner_files import demand_inner_link
from caescope.data.labels import load_annotations
from caescope.data.listing import find_listing, is_listing
from caescope.data.mnist_pickle import load_mnist_pickle
from caescope.data.named import load_digits, load_mnist
from caescope.data.npy_stack import find_npy
from caescope.data.remote_folder import find_remote_folder
from caescope.data.remote_listing import find_remote_listing
from caescope.data.section import load_tissue
from caescope.data.sources import SPLITS, ArraySource, Part, StoredSource, source_from_parts
from caescope.data.unreadable import leave_out_unreadable, parse_share
from caescope.errors import FileFormatError, OptionError
from caescope.files import exists, read_head, shown
from caescope.parsing import is_path
from caescope.storage import called, find_place, is_remote

UNDERSTOOD = (
    "A source is an array (n, height, width[, channels]), the name digits, tissue or mnist, a MNIST pickle "
    "(.pkl, .pkl.gz), an IDX, NPY or NPZ file, a folder of images, a folder of MNIST's IDX files, an HDF5 "
    "file, or a CSV or Parquet table with a column path."
)
PICKLE_SUFFIXES = (".pkl", ".pickle", ".pkl.gz", ".pickle.gz")
MNIST_PARTS = {"train": "train", "t10k": "test"}

Source = ArraySource | StoredSource


def open_source(
    source: Any, labels: Any = None, fit: Fit | None = None, skip_unreadable: float | None = None
) -> ArraySource:
    """Return images, and labels if any, from wherever they are, in memory.

    Parameters
    ----------
    source : ArraySource, array_like or path-like
        An array of shape (n, height, width[, channels]); the name ``"digits"``, ``"tissue"`` or ``"mnist"``;
        a MNIST pickle; an IDX, NPY, NPZ or HDF5 file; a folder of images; a CSV or Parquet table with a
        column ``path``; or a folder of MNIST's IDX files. A file's first bytes decide where they can, else
        its name.
    labels : array_like, shape (n,), or path-like, optional
        In place of the source's own; files as in `caescope.data.load_labels`, whose other columns become
        the source's.
    fit : Fit, optional
        What is done to every image while it is read, so that all have one size.
    skip_unreadable : float in [0, 1], optional
        The share of a folder's images that may be left out because they cannot be read. All are decoded once
        to find out, and with 0 a single one is an error with a table. By default nothing is decoded
        beforehand, and the first one that cannot be read is an error.

    Returns
    -------
    ArraySource

    Raises
    ------
    DataError, FileFormatError
        If it is none of these, its images or labels cannot be used, or too many are unreadable.
    OptionError
        If ``skip_unreadable`` is no share.

    Examples
    --------
    >>> open_source(np.zeros((2, 4, 4)), labels=["cat", "dog"])
    ArraySource('array', 2 images of 4×4×1, float32, labelled)
    """
    opened = find_source(source, labels, fit, skip_unreadable)
    return opened if isinstance(opened, ArraySource) else opened.load()


def find_source(
    source: Any, labels: Any = None, fit: Fit | None = None, skip_unreadable: float | None = None
) -> Source:
    """Return what `open_source` does, except that images stay in their files where they can.

    Those of a folder, a table, an HDF5 file, and an NPY file of uint8 or floats do. NPZ files, which are
    compressed as a rule, IDX files and pickles are read whole. A single file on storage is copied into the
    cache first; images of a folder there are read one by one.

    Parameters
    ----------
    source, labels, fit, skip_unreadable
        As in `open_source`.

    Returns
    -------
    ArraySource, FolderSource or MappedSource
        A folder's ``skipped`` lists what was left out, and why.

    Raises
    ------
    DataError, FileFormatError, OptionError
        As in `open_source`; what is wrong with an image that stays in its file comes up when it is read.
    """
    share = None if skip_unreadable is None else parse_share(skip_unreadable)
    opened = _with_labels(_open(source), labels)
    if share is not None and isinstance(opened, FolderSource):
        opened = leave_out_unreadable(opened, share)
    return opened if fit is None else _fitted(opened, fit)


def _with_labels(opened: Source, labels: Any) -> Source:
    if labels is None:
        return opened
    if not is_path(labels):
        return replace(opened, labels=labels)
    with copied(labels) as path:
        known = load_annotations(path, opened.ids, opened.columns.get("slide"))
    columns = {**opened.columns, **known.columns}
    return replace(opened, labels=opened.labels if known.labels is None else known.labels, columns=columns)


def _fitted(opened: Source, fit: Fit) -> Source:
    if isinstance(opened, ArraySource):
        return replace(opened, images=fit.all(opened.images))
    if not hasattr(opened, "fit"):
        raise OptionError(
            "resize, crop and grey are for images from arrays, image files, NPY and HDF5",
            f"them for {opened.name}",
            "Leave them out; tiles of slides have a size and a resolution of their own.",
        )
    return replace(opened, fit=fit)


def _open(source: Any) -> Source:
    if isinstance(source, ArraySource) or all(hasattr(source, name) for name in ("ids", "read", "load")):
        return source
    if is_path(source):
        return _open_name(source)
    try:
        images = np.asarray(source)
    except (TypeError, ValueError) as error:
        raise _unknown("The source", f"a {type(source).__name__} of uneven length") from error
    if images.dtype.kind not in "biuf":
        raise _unknown("The source", f"a {type(source).__name__}")
    return ArraySource(images)


def _open_name(name: str | os.PathLike) -> Source:
    if name == "digits":
        return load_digits()
    if name == "tissue":
        return load_tissue()
    if name == "mnist":
        train, test = load_mnist()
        return source_from_parts([Part("train", *train), Part("test", *test)], "mnist")
    if is_remote(name):
        return _open_remote(name)
    path = Path(name)
    if not exists(path):
        raise FileFormatError(f"{shown(path)} must exist", "no such file or folder", UNDERSTOOD)
    return _open_folder(path) if path.is_dir() else _open_file(path)


def _open_remote(url: str | os.PathLike) -> Source:
    place = find_place(url)
    if is_folder(place):
        return find_remote_folder(place)
    stored = find_stored(place)
    copy = stored.fetch()
    with called(copy, str(place)):
        if is_listing(copy, read_head(copy)):
            return find_remote_listing(place, copy)
        return in_any_process(_open_file(copy), stored)


def _open_folder(folder: Path) -> Source:
    parts = [_mnist_part(folder, prefix, split) for prefix, split in MNIST_PARTS.items()]
    found = [part for part in parts if part is not None]
    return source_from_parts(found, folder.resolve().name) if found else find_folder(folder)


def _mnist_part(folder: Path, prefix: str, split: str) -> Part | None:
    images, labels = (
        next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)
        for stem in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    )
    for path in (images, labels):
        if path is not None and path.is_symlink():
            demand_inner_link(path, folder.resolve())
    return images and Part(split, load_idx(images), None if labels is None else load_idx(labels))


def _open_file(path: Path) -> Source:
    head = read_head(path)
    if head.startswith(b"\x93NUMPY"):
        return find_npy(path) or ArraySource(load_npy(path), name=path.name)
    if head.startswith(MAGIC):
        return find_hdf5(path)
    if is_listing(path, head):
        return find_listing(path)
    if head.startswith(b"PK"):
        return source_from_parts(load_npz(path), path.name)
    if is_idx(head):
        return ArraySource(load_idx(path), name=path.name)
    if head.startswith(b"\x80") or path.name.lower().endswith(PICKLE_SUFFIXES):
        return _open_pickle(path)
    raise _unknown(str(path), "a file of another kind" if head else "an empty file")


def _open_pickle(path: Path) -> ArraySource:
    sets = load_mnist_pickle(path)
    parts = [Part(split, X.reshape(-1, 28, 28, 1), y) for split, (X, y) in zip(SPLITS, sets, strict=True)]
    return source_from_parts(parts, path.name)


def _unknown(what: str, received: str) -> FileFormatError:
    return FileFormatError(f"{what} must be a source that caescope understands", received, UNDERSTOOD)
