"""How images are found and brought to one size, parsed once."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any

from caescope.data import ArraySource, FolderSource, find_source
from caescope.data.fitting import Fit
from caescope.data.opening import Source
from caescope.data.unreadable import leave_out_unreadable
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.parsing import is_path

if TYPE_CHECKING:
    from caescope.slides import SlideSource

IN_MEMORY = 2 * 2**30  # bytes; smaller collections are read once and kept, larger ones read for every epoch
TILES = ("tile_size", "mpp", "magnification", "overlap", "min_tissue", "tissue_rule", "slide_mpp", "stain")


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened.

    Attributes
    ----------
    resize, crop, grey
        As in `caescope.data.Fit`.
    skip_unreadable : float in [0, 1], optional
        The share of images that may be left out because they cannot be read; of slides any share.
    tile_size, mpp, magnification, overlap, min_tissue, tissue_rule, slide_mpp
        As ``size`` and ``rule`` and the others in `caescope.slides.plan_tiles`.
    stain : {"macenko", "reinhard"}, optional
        How the stain of tiles is normalised, as in `caescope.slides.find_slides`. With this or any of those
        above, the source is a slide or a folder of slides, as is a file with a suffix that only slides have.
    """

    resize: Any = None
    crop: Any = None
    grey: bool = False
    skip_unreadable: float | None = None
    tile_size: int | None = None
    mpp: float | None = None
    magnification: float | None = None
    overlap: int | None = None
    min_tissue: float | None = None
    tissue_rule: str | None = None
    slide_mpp: float | None = None
    stain: str | None = None

    def given(self) -> dict[str, Any]:
        """Return those that are not at their defaults, as plain values."""
        empty = asdict(SourceOptions())
        return {name: value for name, value in asdict(self).items() if value != empty[name]}

    def find(self, source: Any, labels: Any = None) -> Source:
        """Return the images, in their files where they can stay there; see `caescope.data.find_source`."""
        fit = Fit(self.resize, self.crop, self.grey)
        fit = None if fit == Fit() else fit
        if self._is_slides(source):
            return find_source(self.find_tiles(source), labels, fit)
        return find_source(source, labels, fit, self.skip_unreadable)

    def find_tiles(self, slides: str | os.PathLike) -> "SlideSource":
        """Return the tiles of a slide or of a folder of slides; see `caescope.slides.find_slides`."""
        from caescope.slides import find_slides

        tiles = {_plain(name): getattr(self, name) for name in TILES if getattr(self, name) is not None}
        return find_slides(slides, skip_unreadable=bool(self.skip_unreadable), **tiles)

    def _is_slides(self, source: Any) -> bool:
        if any(getattr(self, name) is not None for name in TILES):
            if is_path(source):
                return True
            raise OptionError(
                f"{', '.join(TILES)} are for a slide or a folder of slides",
                f"them for a {type(source).__name__}",
                "Leave them out.",
            )
        if not is_path(source):
            return False
        from caescope.slides.finding import are_slides

        return are_slides(source)


def split_options(options: Mapping[str, Any]) -> tuple[SourceOptions, dict[str, Any]]:
    """Return the options that concern the source, and the others."""
    names = {field.name for field in fields(SourceOptions)}
    ours = {name: value for name, value in options.items() if name in names}
    return SourceOptions(**ours), {name: value for name, value in options.items() if name not in names}


def parse_source_options(options: Mapping[str, Any]) -> SourceOptions:
    """Return options that all concern the source, or raise `OptionError`."""
    parsed, others = split_options(options)
    if others:
        known = ", ".join(field.name for field in fields(SourceOptions))
        raise OptionError(
            f"An option must be one of {known}", f"{next(iter(others))!r}", "Check the spelling."
        )
    return parsed


def reopen_source(facts: Mapping[str, Any]) -> Source:
    """Return the source of an earlier run, as run.yaml tells where it is and how it was opened.

    Raises
    ------
    DataError, FileFormatError, OptionError
        If it is gone, cannot be opened any more, or was in memory only.
    """
    path, given = facts.get("source_path"), facts.get("source_options") or {}
    if not isinstance(path, str) or not isinstance(given, Mapping):
        raise DataError(
            "Images of a run must be in files to be found again",
            "a run of images in memory",
            "Run it on files.",
        )
    return parse_source_options(given).find(path)


def keep_small(source: Source) -> Source:
    """Return the source with its images in memory where they are few, so that each is read once.

    Raises
    ------
    DataError, FileFormatError
        If an image cannot be read; of a folder the message has a table of all that cannot.
    """
    try:
        if isinstance(source, ArraySource) or len(source) * prod(source.shape) > IN_MEMORY:
            return source
        return replace(source.load(), split=source.split, name=source.name)
    except FileFormatError:
        if isinstance(source, FolderSource):
            leave_out_unreadable(source, 0.0)
        raise


def _plain(name: str) -> str:
    """Return what the tiles' own options are called: a tile's size is ``size`` there."""
    return {"tile_size": "size", "tissue_rule": "rule"}.get(name, name)
