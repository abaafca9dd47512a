"""latents.parquet: one row for each image."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caescope.data.sources import parse_labels
from caescope.errors import FileFormatError
from caescope.files import decoding, existing_file, write_atomically

LATENT = re.compile(r"z(\d{3,6})")


@dataclass(frozen=True, eq=False, repr=False)
class LatentTable:
    """Latents and what is known about each image.

    Attributes
    ----------
    ids : numpy.ndarray, shape (n,), str
    latents : numpy.ndarray, shape (n, latent_features), float32
        Columns ``z000``, ``z001``, …
    split : numpy.ndarray, shape (n,), str, or None
        "train", "validation" or "test".
    labels : numpy.ndarray, shape (n,), or None
        Column ``label``: strings, integers, floats or booleans.
    map : numpy.ndarray, shape (n, 2), float32, or None
        Columns ``map_x`` and ``map_y``.
    clusters : numpy.ndarray, shape (n,), int32, or None
        Column ``cluster``.
    errors : numpy.ndarray, shape (n,), float32, or None
        Column ``error``: the image's mean squared error.
    """

    ids: np.ndarray
    latents: np.ndarray
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    map: np.ndarray | None = None
    clusters: np.ndarray | None = None
    errors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.latents)

    def __repr__(self) -> str:
        return f"LatentTable({len(self):,} images, {self.latents.shape[1]} latents)"

    def write(self, path: str | os.PathLike) -> Path:
        """Write the table as Parquet, all of it or nothing."""
        path = Path(path)
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(self._columns()), buffer)
        write_atomically(path, buffer.getvalue().to_pybytes())
        return path

    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"id": self.ids, "split": self.split, "label": self.labels}
        columns |= {f"z{i:03d}": self.latents[:, i] for i in range(self.latents.shape[1])}
        if self.map is not None:
            columns |= {"map_x": self.map[:, 0], "map_y": self.map[:, 1]}
        columns |= {"cluster": self.clusters, "error": self.errors}
        return {name: values for name, values in columns.items() if values is not None}


def read_latents(path: str | os.PathLike) -> LatentTable:
    """Read a table of latents.

    Parameters
    ----------
    path : path-like
        Parquet with the columns ``z000``, ``z001``, … and, each where known, ``id``, ``split``, ``label``,
        ``map_x``, ``map_y``, ``cluster`` and ``error``; other columns are left out.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no latents.
    DataError
        If labels or latents are missing for some of the images.
    """
    path = existing_file(path)
    with decoding(path, "a Parquet file"):
        table = pq.read_table(path, memory_map=False)
        names = [f"z{i:03d}" for i in range(sum(bool(LATENT.fullmatch(n)) for n in table.column_names))]
        if not names or not set(names) <= set(table.column_names) or not len(table):
            raise FileFormatError(
                f"{path} must hold latents in the columns z000, z001, … without a gap",
                f"{len(table)} rows with the columns {', '.join(table.column_names[:8])}",
                "Write it with caescope encode.",
            )
        latents = np.stack([_column(table, name, np.float32) for name in names], axis=1)
        return LatentTable(latents=latents, **_known(table))


def _known(table: pa.Table) -> dict[str, Any]:
    """Return what else a table says about its images."""
    has = set(table.column_names)
    ids = _column(table, "id", str) if "id" in has else np.arange(len(table)).astype(str)
    labels = parse_labels(table["label"].to_pylist(), len(table), "label") if "label" in has else None
    split = _column(table, "split", str) if "split" in has else None
    is_mapped = {"map_x", "map_y"} <= has
    axes = [_column(table, name, np.float32) for name in ("map_x", "map_y")] if is_mapped else []
    return {
        "ids": ids,
        "split": split,
        "labels": labels,
        "map": np.stack(axes, axis=1) if is_mapped else None,
        "clusters": _column(table, "cluster", np.int32) if "cluster" in has else None,
        "errors": _column(table, "error", np.float32) if "error" in has else None,
    }


def _column(table: pa.Table, name: str, dtype) -> np.ndarray:
    if table[name].null_count:
        raise ValueError(f"column {name} has {table[name].null_count} empty cells")
    return table[name].to_numpy().astype(dtype)
