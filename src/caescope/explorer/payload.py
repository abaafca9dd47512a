"""What the page gets of a collection, as typed arrays: positions, columns, latents."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from caescope.explorer.collection import Collection

BLOCK = 4096  # rows whose ids or latents come at a time
MOST_CATEGORIES = 2**16 - 1
PLACE = ("x", "y", "size")  # of a tile on its slide
FEW_NUMBERS = 20  # different whole numbers that are categories rather than a scale


class Column(NamedTuple):
    """One value for each row, as the page reads it.

    Attributes
    ----------
    name : str
    values : numpy.ndarray, shape (n,)
        uint8 or uint16 numbers of categories, all bits set where there is none; or float32, NaN where there
        is none.
    categories : list of str, or None for numbers
    """

    name: str
    values: np.ndarray
    categories: list[str] | None = None

    @property
    def type(self) -> str:
        """How the values are stored, and the suffix of their address."""
        return f"{self.values.dtype.kind}{8 * self.values.itemsize}"

    def describe(self) -> dict[str, Any]:
        """Return what the page has to know before it asks for the values."""
        facts: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.categories is not None:
            return facts | {"kind": "category", "categories": self.categories}
        known = self.values[np.isfinite(self.values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        return facts | {"kind": "number", "min": low, "max": high}


class Payload:
    """The columns and maps of a collection, by number.

    Parameters
    ----------
    collection : Collection
    """

    def __init__(self, collection: Collection):
        self.collection, self.table = collection, collection.table
        self.titles, self.maps = list(collection.maps), list(collection.maps.values())

    @cached_property
    def columns(self) -> list[Column]:
        """Columns to colour by: what is known of the images first, then the latents."""
        table = self.table
        known = {"cluster": table.clusters, "label": table.labels, "split": table.split}
        known |= {"error": table.errors, **table.columns}
        found = [_column(name, values) for name, values in known.items() if values is not None]
        latents = [Column(f"z{i:03d}", table.latents[:, i]) for i in range(table.latents.shape[1])]
        return [column for column in found if column is not None] + latents

    def number_of(self, name: str) -> int | None:
        """Return a column's number, or None where there is no such column."""
        return next((i for i, column in enumerate(self.columns) if column.name == name), None)

    @cached_property
    def description(self) -> dict[str, Any]:
        """What collection.json says of maps, columns and latents."""
        n, n_latents = len(self.columns), self.table.latents.shape[1]
        latents = list(range(n - n_latents, n))  # they come last
        described = [column.describe() for column in self.columns]
        place = [self.number_of(name) for name in PLACE]
        return {
            "name": self.collection.name,
            "n": len(self.collection),
            "maps": [
                {"title": title, "bounds": _bounds(points)}
                for title, points in zip(self.titles, self.maps, strict=True)
            ],
            "columns": described,
            **{name: self.number_of(name) for name in ("cluster", "label", "error", "slide")},
            "place": None if None in place else place,
            "latents": n_latents,
            "latent_columns": latents,
            "latent_range": [[described[i]["min"], described[i]["max"]] for i in latents],
            "block": BLOCK,
        }

    def ids(self, block: int) -> list[str] | None:
        """Return the ids of one block of rows, or None where there is no such block."""
        rows = self.table.ids[block * BLOCK : (block + 1) * BLOCK]
        return rows.tolist() if len(rows) else None

    def latents(self, block: int) -> np.ndarray | None:
        """Return the latents of one block of rows, or None where there is no such block."""
        rows = self.table.latents[block * BLOCK : (block + 1) * BLOCK]
        return rows if rows.size else None


def as_bytes(values: np.ndarray) -> bytes:
    """Return an array as little-endian bytes in C order."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _column(name: str, values: np.ndarray) -> Column | None:
    """Return values as numbers or as categories; or None for texts that are nearly all different."""
    if _is_scale(name, values):
        return Column(name, np.ma.filled(np.ma.asarray(values).astype(np.float32), np.nan))
    return category_column(name, values)


def _is_scale(name: str, values: np.ndarray) -> bool:
    if values.dtype.kind not in "fiu" or name in ("cluster", "label"):
        return False
    is_certain = values.dtype.kind == "f" or name in PLACE
    return is_certain or len(np.unique(np.ma.compressed(values))) > FEW_NUMBERS


def category_column(name: str, values: np.ndarray) -> Column | None:
    """Return values as categories, or None where there are more than MOST_CATEGORIES."""
    if name == "cluster":
        values = np.ma.masked_less(values, 0)
    missing = np.ma.getmaskarray(values)
    known, codes = np.unique(np.ma.getdata(values)[~missing], return_inverse=True)
    if len(known) > MOST_CATEGORIES:
        return None
    dtype = np.uint8 if len(known) <= 255 else np.uint16
    full = np.full(len(values), np.iinfo(dtype).max, dtype)
    full[~missing] = codes
    return Column(name, full, [f"{value:g}" if known.dtype.kind == "f" else str(value) for value in known])


def _bounds(points: np.ndarray) -> list[float]:
    """Return the smallest and the largest x and y as [left, bottom, right, top]."""
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return [0.0, 0.0, 1.0, 1.0]
    return [*known.min(axis=0).tolist(), *known.max(axis=0).tolist()]
