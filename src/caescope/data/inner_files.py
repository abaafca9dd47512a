"""The image files of a folder, and no file outside of it."""

import os
from collections.abc import Iterator
from pathlib import Path

from caescope.data.image_file import SUFFIXES
from caescope.errors import FileFormatError
from caescope.files import decoding, shown


def walk_images(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the image files below ``folder``, none of them hidden, without leaving ``root``."""
    waiting = [folder]
    while waiting:  # not by calling itself, since folders may lie deeper than Python's stack
        inner = waiting.pop()
        with decoding(shown(inner), "a folder"):
            for entry in [entry for entry in inner.iterdir() if not entry.name.startswith(".")]:
                is_folder = entry.is_dir()
                if not is_folder and entry.suffix.lower() not in SUFFIXES:
                    continue
                if entry.is_symlink():
                    demand_inner_link(entry, root)
                if is_folder:
                    waiting.append(entry)
                elif entry.is_file():
                    yield entry


def demand_inner_link(link: Path, root: Path) -> None:
    """Allow links to files of the same folder; links to folders could go round in circles.

    Raises
    ------
    FileFormatError
        If the link leads to a folder, or out of ``root``, which is a path without links.
    """
    if link.is_dir() or not Path(os.path.realpath(link)).is_relative_to(root):
        raise FileFormatError(
            "A link in a folder of images must lead to a file in that folder",
            f"the link {link} to {os.path.realpath(link)}",
            "Copy what it leads to, or give the folder that holds the files themselves.",
        )
