"""Which files of a folder are slides."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from caescope.data.fetching import is_folder
from caescope.data.image_file import SUFFIXES as IMAGES
from caescope.data.inner_files import demand_inner_link
from caescope.data.remote_folder import list_files
from caescope.errors import DataError, FileFormatError
from caescope.files import printable
from caescope.slides.dicom import group_by_series
from caescope.storage import Place, find_place, is_remote

DICOM = ".dcm"
CERTAIN = (".svs", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi", DICOM)
OF_SEVERAL_FILES = (".vms", ".vmu", ".mrxs", DICOM)  # of which one is what the others are opened by
SUFFIXES = (*CERTAIN, ".tif", ".tiff")  # of which the last two may be images as well


def slide_files(path: str | os.PathLike) -> Mapping[str, str | Path]:
    """Return the slides of a folder and its sub-folders, sorted, by their paths below it; of a file, itself.

    Those on storage are URLs, and each is one file.

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
    if is_remote(path):
        return _remote_files(find_place(path))
    root = Path(path)
    if not root.exists():
        raise FileFormatError(f"{root} must exist", "no such file or folder", "Check the spelling.")
    if not root.is_dir():
        return {root.name: root}
    files = {key.relative_to(root).as_posix(): file for key, file in _walk(root)}
    if not files:
        raise _no_slides(root)
    if series := files.pop(".", None):
        name = root.resolve().name
        files[series.name if name in {"", *files} else name] = series
    return dict(sorted(files.items()))


def _remote_files(place: Place) -> dict[str, str]:
    if not is_folder(place):
        _demand_one_file(place.name, place)
        return {place.name: str(place)}
    names = [file.name for file in list_files(place, SUFFIXES)]
    names = [name for name in names if "/." not in f"/{name}"]
    if not names:
        raise _no_slides(place)
    for name in names:
        _demand_one_file(name, place)
    return {name: str(place / name) for name in names}


def _demand_one_file(name: str, place: Place) -> None:
    if name.lower().endswith(OF_SEVERAL_FILES):
        raise FileFormatError(
            "A slide on storage must be a single file",
            f"{printable(name)} of {place}, which comes with others",
            "Copy the folder with all of its files to this machine's disk, and give its path there.",
        )


def _no_slides(root: Path | Place) -> DataError:
    return DataError(
        f"{root} must hold slides", "no slide file", f"Known suffixes are {', '.join(SUFFIXES)}."
    )


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


def are_slides(path: str | os.PathLike) -> bool:
    """Tell by names alone whether a path leads to a slide, or to a folder that `holds_slides`."""
    if not is_remote(path):
        path = Path(path)
        return path.suffix.lower() in CERTAIN or (path.is_dir() and holds_slides(path))
    place = find_place(path)
    return any(name.lower().endswith(CERTAIN) for name in (place.name, *_names_in(place)))


def _names_in(place: Place) -> list[str]:
    """Return the names of the files in a folder; none where the name is that of a file with a suffix."""
    return [] if Path(place.name).suffix and not place.base.endswith("/") else place.names()


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
