"""Which files of a folder are slides."""

import os
from collections.abc import Iterator
from pathlib import Path

from caescope.data.image_file import SUFFIXES as IMAGES
from caescope.data.inner_files import demand_inner_link
from caescope.errors import DataError, FileFormatError
from caescope.slides.dicom import group_by_series

DICOM = ".dcm"
CERTAIN = (".svs", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi", DICOM)
SUFFIXES = (*CERTAIN, ".tif", ".tiff")  # of which the last two may be images as well


def slide_files(path: str | os.PathLike) -> dict[str, Path]:
    """Return the slides of a folder and its sub-folders, sorted, by their paths below it; of a file, itself.

    The DICOM files of one series in one folder are one slide, for which the first by name stands of those
    that show the slide itself. It is named after its folder where that holds no other slide, else after that
    file. A ``.dcm`` that tells no series counts for itself, so that opening it says why.

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
    files = {key.relative_to(root).as_posix(): file for key, file in _walk(root)}
    if not files:
        raise DataError(
            f"{root} must hold slides", "no slide file", f"Known suffixes are {', '.join(SUFFIXES)}."
        )
    if series := files.pop(".", None):
        name = root.resolve().name
        files[series.name if name in {"", *files} else name] = series
    return dict(sorted(files.items()))


def _walk(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield what slides below ``root`` are named after, and them; none is hidden or outside of it."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        slides = [
            name for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
        for entry in (Path(folder, name) for name in (*folders, *slides)):
            if entry.is_symlink():
                demand_inner_link(entry, root.resolve())
        yield from _slides_of(Path(folder), [Path(folder, name) for name in slides])


def _slides_of(folder: Path, files: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield the slides that the files of one folder make, as `_walk` does."""
    plain = [file for file in files if file.suffix.lower() != DICOM]
    series, broken = group_by_series(file for file in files if file.suffix.lower() == DICOM)
    if len(series) == 1 and not plain:
        yield folder, series.pop()
    yield from ((file, file) for file in (*plain, *series, *broken))


def holds_slides(folder: Path) -> bool:
    """Tell whether a folder holds a file that only slides have, or its sub-folders DICOM and no images."""
    if any(entry.suffix.lower() in CERTAIN for entry in folder.iterdir()):
        return True
    is_dicom = False
    for entry in folder.glob("*/*"):
        suffix = entry.suffix.lower()
        if suffix in IMAGES:
            return False  # at the first, since there may be millions
        is_dicom = is_dicom or suffix == DICOM
    return is_dicom
