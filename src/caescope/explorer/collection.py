"""What an explorer shows: the rows of a run folder or of a Parquet file, and where their images are."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from caescope.data.opening import Source
from caescope.data.sources import ArraySource
from caescope.errors import CaescopeError, DataError, FileFormatError
from caescope.run_folder import fingerprint_source, read_run
from caescope.source_options import reopen_source
from caescope.table import LatentTable, read_latents

TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pacmap": "PaCMAP", "pca": "PCA"}
GONE = -1  # in place of an image's number in its source


@dataclass(frozen=True, eq=False, repr=False)
class Collection:
    """Rows to look at, and what can be shown of them.

    Attributes
    ----------
    name : str
        What the page calls it.
    table : LatentTable
    maps : dict of str to numpy.ndarray, shape (n, 2), float32
        By title; the first is shown first.
    folder : pathlib.Path
        Where notes and thumbnails are kept.
    source : source or None
        Where images are read.
    source_rows : numpy.ndarray of int, shape (n,)
        Each row's number in the source, or GONE.
    model : pathlib.Path or None
        The model folder.
    off : dict of str to str
        What cannot be shown, and why in a sentence: "run", "images", "decode", "latents".
    """

    name: str
    table: LatentTable
    maps: dict[str, np.ndarray]
    folder: Path
    source: Source | None = None
    source_rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.intp))
    model: Path | None = None
    off: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {len(self):,} images, {len(self.maps)} maps)"

    @cached_property
    def n_gone(self) -> int:
        """How many rows have no image in the source."""
        return 0 if self.source is None else int((self.source_rows == GONE).sum())


def open_collection(path: str | os.PathLike) -> Collection:
    """Open a run folder, or a Parquet file whose ids are paths of images seen from its folder.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Collection
        What is missing or has changed, such as the model or the images, is in its ``off``.

    Raises
    ------
    FileFormatError
        If there is neither, or its table has nothing to draw a map of.
    """
    path = Path(path)
    return _open_run(path) if path.is_dir() else _open_table(path)


def _open_run(folder: Path) -> Collection:
    if not (folder / "latents.parquet").is_file():
        read_run(folder)  # says what is wrong with a folder that is no run
    table = read_latents(folder / "latents.parquet", may_lack_latents=True)
    off = _off_by_table(table)
    facts = _facts_of(folder, off)
    title = TITLES.get(str(facts.get("options", {}).get("map")), "map")
    model = folder / "model"
    if not (model / "params.yaml").is_file():
        off["decode"] = f"Images cannot be decoded: {model} holds no model."
        model = None
    source, rows = _find_images(lambda: _reopen(facts), table, off)
    name = str(facts.get("source", folder.resolve().name))
    return Collection(name, table, _maps_of(table, title), folder, source, rows, model, off)


def _facts_of(folder: Path, off: dict[str, str]) -> dict[str, Any]:
    """Return what run.yaml says; where it is gone or damaged nothing, and say in ``off`` what follows."""
    try:
        return read_run(folder).facts
    except FileFormatError as error:
        off["run"] = f"Where the images are is not known: {error}"
        return {}


def _reopen(facts: dict) -> Source:
    source = reopen_source(facts)
    if isinstance(source, ArraySource) and fingerprint_source(source) != facts.get("fingerprint"):
        raise DataError(
            "Images must be those that the run was made of", "others at the same place", "Run it again."
        )
    return source


def _open_table(path: Path) -> Collection:
    table = read_latents(path, may_lack_latents=True)
    off = _off_by_table(table) | {"decode": f"Images cannot be decoded: {path.name} comes without a model."}
    source, rows = _find_images(lambda: _listed(path, table), table, off)
    folder = path.with_name(f"{path.name}.explorer")
    return Collection(path.name, table, _maps_of(table, "map"), folder, source, rows, None, off)


def _listed(path: Path, table: LatentTable) -> Source:
    """Return those images that the ids of a table name, seen from its folder."""
    from caescope.data.listing import find_existing

    return find_existing(path, table.ids)


def _find_images(find, table: LatentTable, off: dict[str, str]) -> tuple[Source | None, np.ndarray]:
    """Return the source and each row's number in it; or say in ``off`` why there is none."""
    try:
        source = find()
        rows = _rows_in(source, table.ids)
        if (rows == GONE).all():
            raise DataError("Images must be where they were", "none of them", "Bring them back.")
        _ = source.shape  # images of many sizes, or a damaged file, would be found out here
    except (CaescopeError, OSError) as error:
        off["images"] = f"Images cannot be shown: {error}"
        return None, np.full(len(table), GONE)
    return source, rows


def _rows_in(source: Source, ids: np.ndarray) -> np.ndarray:
    """Return where a source has the images of these ids, shape (n,), or GONE."""
    known = np.asarray(source.ids)
    if len(known) == len(ids) and (known == ids).all():
        return np.arange(len(ids))
    order = np.argsort(known)
    found = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    rows = order[found]
    return np.where(known[rows] == ids, rows, GONE)


def _off_by_table(table: LatentTable) -> dict[str, str]:
    if table.latents.shape[1]:
        return {}
    return {"latents": "Latents, neighbours and medoids cannot be shown: the table holds no latents."}


def _maps_of(table: LatentTable, title: str) -> dict[str, np.ndarray]:
    """Return the maps that a table holds, by title, and that of its principal components."""
    maps = {} if table.map is None else {title: table.map}
    for name, values in table.columns.items():
        other = table.columns.get(f"{name[:-2]}_y") if name.endswith("_x") else None
        if other is not None and values.dtype.kind in "fiu" and other.dtype.kind in "fiu":
            axes = [np.ma.filled(axis.astype(np.float32), np.nan) for axis in (values, other)]
            maps[name[:-2]] = np.stack(axes, axis=1)
    if table.latents.shape[1] and len(table) >= 4 and title != "PCA":
        from caescope.analysis.pca import PCAMap

        maps["PCA"] = PCAMap().fit_transform(table.latents)
    if not maps:
        raise FileFormatError(
            "What is explored must hold a map (columns map_x and map_y, or two of one name in _x and _y) or "
            "latents of at least four images",
            f"a table of {len(table)} rows without",
            "Write it with caescope run, or add the columns.",
        )
    return maps
