"""A whole-slide image as a small value: its sizes and its resolution; its pixels stay in the file."""

import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from caescope.data.fetching import StoredFile, find_stored
from caescope.errors import FileFormatError
from caescope.files import decoding, existing_file
from caescope.slides.dicom import demand_whole_slide
from caescope.slides.handles import forget, handle_of, import_openslide
from caescope.slides.properties import mpp_in, objective_in
from caescope.slides.tiff import demand_usable_tiles
from caescope.storage import called, find_place, is_remote

KIND = "a slide"
FORMATS = (
    "OpenSlide reads Aperio, DICOM, Hamamatsu, Leica, MIRAX, Philips, Sakura, Trestle, Ventana and Zeiss "
    "slides, and tiled TIFF files; write others as a tiled pyramid TIFF."
)


@dataclass(frozen=True)
class Slide:
    """What is known about a slide; `open_slide` makes it.

    It may be pickled and shared by threads: the file is opened by whichever thread reads, when it does.

    Attributes
    ----------
    path : str
    width, height : int, pixels of level 0
    level_dimensions : tuple of (int, int)
        Width and height of every level, the finest first.
    downsamples : tuple of float
        How many pixels of level 0 one of each level stands for; not whole numbers in general.
    mpp : float or None, microns per pixel of level 0
        None where the file tells none that a microscope can have.
    magnification : float or None
        Of the objective, such as 20; None where the file does not say.
    vendor : str
        Such as ``"aperio"``, or ``"generic-tiff"``.
    stored : StoredFile or None
        What on storage ``path`` is a copy of; another machine copies it again.
    """

    path: str
    width: int
    height: int
    level_dimensions: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]
    mpp: float | None
    magnification: float | None
    vendor: str
    stored: StoredFile | None = None

    def __reduce__(self):  # of many slides, each worker opens, or copies, those that it reads
        return _not_yet_opened, ({fact.name: getattr(self, fact.name) for fact in fields(self)},)

    @cached_property
    def _file(self) -> str:
        file = str(existing_file(self.path) if self.stored is None else self.stored.fetch())
        with called(file, self.origin):
            demand_usable_tiles(file)
        return file

    @property
    def origin(self) -> str:
        """What messages call it: its path, or its URL."""
        return self.path if self.stored is None else self.stored.url

    @property
    def version(self) -> tuple[int, int]:
        """Size in bytes and age in nanoseconds of its file."""
        if self.stored is not None:
            return self.stored.size, self.stored.mtime_ns
        file = os.stat(self.path)
        return file.st_size, file.st_mtime_ns

    @property
    def name(self) -> str:
        """The file's name."""
        return os.path.basename(self.path)

    def read_region(self, level: int, x: int, y: int, width: int, height: int) -> Any:
        """Return pixels of one level as a Pillow image (RGB); transparent ones, and those outside, are white.

        Parameters
        ----------
        level : int
        x, y : int, pixels of level 0
            Where the region's top left corner lies.
        width, height : int, pixels of the level

        Raises
        ------
        FileFormatError
            If that part of the file is damaged; other parts can still be read.
        """
        file = self._file
        with decoding(self.origin, KIND):
            try:
                region = handle_of(file).read_region((int(x), int(y)), level, (width, height))
            except Exception:
                forget(file)
                raise
        return _on_white(region)


def open_slide(path: str | os.PathLike | StoredFile) -> Slide:
    """Return what the header of a slide tells.

    Parameters
    ----------
    path : path-like
        Any file that OpenSlide reads: Aperio, Hamamatsu, Leica, MIRAX, Philips, Ventana, Zeiss and others,
        tiled TIFF files, plain or in several resolutions, and any file of a DICOM series, the others of which
        lie in the same folder. One on storage is copied into the cache first.

    Returns
    -------
    Slide

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no slide, damaged or of a format that OpenSlide does not know.
    MissingDependencyError
        If openslide-python is not installed.

    References
    ----------
    A. Goode et al. OpenSlide: a vendor-neutral software foundation for digital pathology. J Pathol Inform
    4:27, 2013.
    """
    if not isinstance(path, StoredFile):
        if not is_remote(path):
            return _open_file(str(existing_file(path)))
        path = find_stored(find_place(path))
    copy = path.fetch()
    with called(copy, path.url):
        return replace(_open_file(str(copy)), stored=path)


def _open_file(file: str) -> Slide:
    openslide = import_openslide()
    demand_usable_tiles(file)
    with decoding(file, KIND):
        try:
            handle = handle_of(file)
        except openslide.OpenSlideError as error:
            demand_whole_slide(file)
            if not isinstance(error, openslide.OpenSlideUnsupportedFormatError):
                raise
            received = "a file of another kind" if os.path.getsize(file) else "an empty file"
            raise FileFormatError(
                f"{file} must be a slide that OpenSlide reads", received, FORMATS
            ) from error
        return _describe(file, handle)


def _not_yet_opened(facts: dict[str, Any]) -> Slide:
    stored = facts["stored"]
    return Slide(**facts if stored is None else {**facts, "path": str(stored.copy)})


def _describe(path: str, handle: Any) -> Slide:
    properties = handle.properties
    width, height = handle.dimensions
    return Slide(
        path=path,
        width=width,
        height=height,
        level_dimensions=tuple(handle.level_dimensions),
        downsamples=tuple(handle.level_downsamples),
        mpp=mpp_in(properties),
        magnification=objective_in(properties),
        vendor=str(properties.get("openslide.vendor", "unknown")),
    )


def _on_white(region: Any) -> Any:
    from PIL import Image

    if region.getchannel("A").getextrema()[0] == 255:
        return region.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", region.size, "white"), region).convert("RGB")
