"""Which files of a folder are slides."""

import os
from collections.abc import Iterator
from pathlib import Path

from caescope.data.inner_files import demand_inner_link
from caescope.errors import DataError, FileFormatError

SUFFIXES = (
    ".svs",
    ".tif",
    ".tiff",
    ".ndpi",
    ".vms",
    ".vmu",
    ".scn",
    ".mrxs",
    ".svslide",
    ".bif",
    ".czi",
)


def slide_files(path: str | os.PathLike) -> dict[str, Path]:
    """Return the slides of a folder and its sub-folders, sorted, by their paths below it; of a file, itself.

    Raises
    ------
    FileFormatError
        If there is nothing of that name, or a link leads out of the folder.
    DataError
        If there is no slide in it.
    """
    root = Path(path)
    if not root.exists():
        raise FileFormatError(f"{root} must exist", "no such file or folder", "Check the spelling.")
    if not root.is_dir():
        return {root.name: root}
    files = {file.relative_to(root).as_posix(): file for file in _walk(root)}
    if not files:
        raise DataError(
            f"{root} must hold slides", "no slide file", f"Known suffixes are {', '.join(SUFFIXES)}."
        )
    return dict(sorted(files.items()))


def _walk(root: Path) -> Iterator[Path]:
    """Yield slides below ``root``, none of them hidden, without leaving it."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        slides = [
            name for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
        for entry in (Path(folder, name) for name in (*folders, *slides)):
            if entry.is_symlink():
                demand_inner_link(entry, root.resolve())
        yield from (Path(folder, name) for name in slides)
