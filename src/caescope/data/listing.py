"""A table that lists image files: their paths, and what is known about each."""

import os
import posixpath
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

import numpy as np

from caescope.data.folder import FolderSource
from caescope.data.inner_files import demand_inner_link
from caescope.data.labels import _to_numbers, read_csv
from caescope.data.parquet import read_columns
from caescope.errors import DataError, FileFormatError
from caescope.files import existing_file, printable, read_head
from caescope.storage import Place

SUFFIXES = (".csv", ".csv.gz")


def is_listing(path: Path, head: bytes) -> bool:
    """Tell whether a file that starts with ``head`` is read as a table of image files."""
    return head.startswith(b"PAR1") or path.name.lower().endswith(SUFFIXES)


def find_listing(path: str | os.PathLike) -> FolderSource:
    """Return the images that a table lists, without reading any.

    Parameters
    ----------
    path : path-like
        A Parquet file or a ``.csv`` with a column ``path``: where each image lies, with slashes, seen from
        the table's own folder. A column ``label`` becomes the labels, ``split`` the split, and all others,
        such as ``slide`` and ``patient``, the source's columns.

    Returns
    -------
    FolderSource
        In the table's order; the paths are the ids.

    Raises
    ------
    DataError
        If a file is missing or named twice, or labels or columns cannot be used.
    FileFormatError
        If there is no such table, it has no column ``path``, or a path leads out of the table's folder.
    """
    path = existing_file(path)
    names, facts = read_listing(path)
    _demand_inner(names, path)
    _demand_files(names, path)
    return FolderSource(path.parent, np.array(names), **facts)


def read_listing(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the images' paths in a table, and what else it tells, as a source has it.

    Raises
    ------
    DataError, FileFormatError
        If it cannot be read, has no column ``path``, or lists nothing.
    """
    table = dict(_read_table(path))
    if "path" not in table:
        raise FileFormatError(
            f"{path} must be a table of images with a column path",
            f"the columns {printable(', '.join(map(str, table)))}",
            "Give each image's path, seen from the table's folder.",
        )
    names = [str(name).strip() for name in table.pop("path")]
    _demand_some(names, path)
    known = {name: _to_numbers(cells) for name, cells in table.items()}
    labels, split = known.pop("label", None), known.pop("split", None)
    return names, {"labels": labels, "split": split, "columns": known, "name": path.name}


def _read_table(path: Path) -> Mapping[str, list]:
    return read_columns(path) if read_head(path).startswith(b"PAR1") else read_csv(path)


def find_existing(path: Path, names: np.ndarray) -> FolderSource:
    """Return those of the images that a table names which are there, without reading any.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    names : numpy.ndarray of str, shape (n,)
        Paths, with slashes, seen from the table's folder; each once.

    Raises
    ------
    DataError
        If none is there.
    FileFormatError
        If a path leads out of the table's folder.
    """
    _demand_some(names, path)
    _demand_inner(names.tolist(), path)
    there = np.array([_is_file(path, name) for name in names.tolist()])
    if not there.any():
        raise DataError(
            f"{path} must name images as its id or path, seen from its own folder",
            f"no such file, for example {printable(str(names[0]))}",
            "Move the table to where its images are.",
        )
    _demand_inner_links(names[there].tolist(), path)
    return FolderSource(path.parent, names[there], name=path.name)


def _demand_some(names: Sized, path: Path) -> None:
    if not len(names):
        raise DataError(f"{path} must list images", "none", "Give one row for each image.")


def _demand_inner(names: list[str], path: Path) -> None:
    """Refuse names that lead out of the table's folder, by themselves or by a folder that is a link."""
    root, given = Path(os.path.realpath(path.parent)), path.parent
    outside = next((name for name in names if leads_out(name)), None)
    folders = {posixpath.dirname(name) for name in names} if outside is None else set()
    for folder in folders:
        if not Path(os.path.realpath(given / folder)).is_relative_to(root):
            outside = folder
    if outside is not None:
        raise outside_error(path, outside)


def outside_error(path: Path | Place, name: str) -> FileFormatError:
    """Return the error for a table that lists something outside of its folder."""
    return FileFormatError(
        f"{path} must list images in its own folder or below",
        f"{printable(name)!r}, which leads elsewhere",
        "Put the table into the folder that holds all images, and give paths seen from there.",
    )


def missing_error(path: Path | Place, missing: list[str], n_names: int) -> DataError:
    """Return the error for a table that lists files which are not there."""
    return DataError(
        f"{path} must list files that exist, seen from its own folder",
        f"{len(missing)} of {n_names} missing, for example {printable(missing[0])}",
        "Correct the paths, or move the table.",
    )


def _demand_files(names: list[str], path: Path) -> None:
    """Refuse names that lead to no file, or are links that lead out of the table's folder."""
    names = list(dict.fromkeys(names))  # each once, for one that comes a million times
    missing = [name for name in names if not _is_file(path, name)]
    if missing:
        raise missing_error(path, missing, len(names))
    _demand_inner_links(names, path)


def _is_file(path: Path, name: str) -> bool:
    return os.path.isfile(os.path.join(path.parent, name))


def _demand_inner_links(names: list[str], path: Path) -> None:
    root = Path(os.path.realpath(path.parent))
    for name in names:
        if os.path.islink(link := os.path.join(path.parent, name)):
            demand_inner_link(Path(link), root)


def leads_out(name: str) -> bool:
    """Tell whether a path leads elsewhere by its name alone, on this system or on Windows."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or "\0" in name or ".." in parts or bool(os.path.splitdrive(name)[0])
