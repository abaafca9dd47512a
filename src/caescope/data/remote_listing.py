"""A table on storage that lists image files beside it."""

import posixpath
from pathlib import Path

import numpy as np

from caescope.data.listing import leads_out, missing_error, outside_error, read_listing
from caescope.data.remote_folder import Listed, RemoteFolderSource, list_files, versions_of
from caescope.storage import Place, find_place


def find_remote_listing(table: Place, copy: Path) -> RemoteFolderSource:
    """Return the images that a table on storage lists, as `find_listing` does those of a disk.

    Parameters
    ----------
    table : Place
    copy : pathlib.Path
        What is in it, on this machine's disk.

    Raises
    ------
    DataError, FileFormatError
        As by `find_listing`, or if storage does not answer.
    """
    names, facts = read_listing(copy)
    if outside := next((name for name in names if leads_out(name)), None):
        raise outside_error(table, outside)
    folder = find_place(table.base.rpartition("/")[0] + table.options)
    found = _find_files(folder, names)
    unique = list(dict.fromkeys(names))
    if missing := [name for name in unique if name not in found]:
        raise missing_error(table, missing, len(unique))
    versions = versions_of([found[name] for name in names])
    return RemoteFolderSource(folder, np.array(names), **facts, versions=versions)


def _find_files(folder: Place, names: list[str]) -> dict[str, Listed]:
    """Return those of the names that are there, from one listing of the folder that holds all of them."""
    inner = posixpath.commonpath([posixpath.dirname(name) for name in names])
    prefix = f"{inner}/" if inner else ""
    suffixes = tuple({posixpath.splitext(name)[1].lower() for name in names})
    files = list_files(folder / inner if inner else folder, suffixes)
    return {prefix + file.name: file for file in files}
