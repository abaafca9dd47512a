"""latents.parquet: one row for each image."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caescope.data.arrays import load_npy
from caescope.data.parquet import read_parquet
from caescope.data.sources import RESERVED, parse_labels
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.files import decoding, existing_file, printable, read_head
from caescope.writing import write_atomically

LATENT = re.compile(r"z\d{3,6}")
NUMBERED = re.compile(r"(.*?)(\d{1,6})")


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
        Column ``label``: strings, integers, floats or booleans; masked where it is empty.
    map : numpy.ndarray, shape (n, 2), float32, or None
        Columns ``map_x`` and ``map_y``.
    clusters : numpy.ndarray, shape (n,), int32, or None
        Column ``cluster``; -1 is none.
    errors : numpy.ndarray, shape (n,), float32, or None
        Column ``error``: the image's mean squared error.
    columns : dict of str to numpy.ndarray, shape (n,)
        Whatever else is known, such as the slide; masked where it is empty.
    read_from : str
        The columns that the latents were found in.
    """

    ids: np.ndarray
    latents: np.ndarray
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    map: np.ndarray | None = None
    clusters: np.ndarray | None = None
    errors: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    read_from: str = ""

    def __len__(self) -> int:
        return len(self.latents)

    def __repr__(self) -> str:
        return f"LatentTable({len(self):,} images, {self.latents.shape[1]} latents)"

    def with_labels(self, name: str) -> "LatentTable":
        """Return the table with another of its columns as labels.

        Raises
        ------
        OptionError
            If it has no such column.
        """
        if name == "label" and self.labels is not None:
            return self
        if name not in self.columns:
            known = ", ".join([*(["label"] if self.labels is not None else []), *self.columns])
            raise OptionError(
                "labels must be a column of the table or a file",
                f"{name!r}, which is no file and none of the columns {printable(known) or '(none)'}",
                "Check the spelling.",
            )
        columns = dict(self.columns)
        return replace(self, labels=columns.pop(name), columns=columns)

    def column(self, name: str) -> np.ndarray | None:
        """Return a column by its name in the file, shape (n,), or None where there is none.

        Examples
        --------
        >>> LatentTable(np.array(["a", "b"]), np.array([[1.0, 2.0], [3.0, 4.0]])).column("z001").tolist()
        [2.0, 4.0]
        """
        return self._columns().get(name)

    def write(self, path: str | os.PathLike) -> Path:
        """Write the table as Parquet, all of it or nothing."""
        path = Path(path)
        write_atomically(path, self.as_parquet())
        return path

    def as_parquet(self) -> bytes:
        """Return the content of the file that `write` writes."""
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(self._cells()), buffer)
        return buffer.getvalue().to_pybytes()

    def _cells(self) -> dict[str, Any]:
        return {name: _nullable(values) for name, values in self._columns().items()}

    def _columns(self) -> dict[str, np.ndarray]:
        columns: dict[str, Any] = {"id": self.ids, "split": self.split, "label": self.labels}
        columns |= {f"z{i:03d}": self.latents[:, i] for i in range(self.latents.shape[1])}
        if self.map is not None:
            columns |= {"map_x": self.map[:, 0], "map_y": self.map[:, 1]}
        columns |= {"cluster": self.clusters, "error": self.errors, **self.columns}
        return {name: values for name, values in columns.items() if values is not None}


def read_latents(path: str | os.PathLike, may_lack_latents: bool = False) -> LatentTable:
    """Read a table of latents, whoever made them.

    Parameters
    ----------
    path : path-like
        An NPY file of shape (n, latent_features); or Parquet, as a file or as a folder of parts. There the
        latents are the columns ``z000``, ``z001``, …; or else a column of lists, all of one length; or else
        the largest group of numbered columns of one name, such as ``emb_0``, ``emb_1``, …. The columns ``id``
        (or ``path``), ``split``, ``label``, ``map_x``, ``map_y``, ``cluster`` and ``error`` mean what
        `LatentTable` says; columns of texts, numbers or booleans are kept beside them.
    may_lack_latents : bool
        Whether a Parquet file without latents is read too: they are of shape (n, 0) then.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no latents.
    """
    if not os.path.isfile(path):
        from caescope.parts import is_parts, open_parts

        if is_parts(path):
            return open_parts(path).join(may_lack_latents)
    path = existing_file(path)
    if read_head(path).startswith(b"\x93NUMPY"):
        return _from_array(path, load_npy(path))
    return table_from(read_parquet(path), str(path), may_lack_latents)


def table_from(
    table: pa.Table, path: str, may_lack_latents: bool = False, is_part: bool = False
) -> LatentTable:
    """Return what a table that was read from ``path`` says, as `read_latents` does.

    Parameters
    ----------
    table : pyarrow.Table
    path : str
        What messages call it.
    may_lack_latents : bool
        As in `read_latents`.
    is_part : bool
        Whether there are other parts: columns that are empty in this one alone are masked then.
    """
    with decoding(path, "a Parquet file"):
        found = _find_latents(table)
        if found is None and may_lack_latents and len(table):
            return LatentTable(latents=np.empty((len(table), 0), np.float32), **_known(table, set(), is_part))
        if found is None:
            raise FileFormatError(
                f"{path} must hold latents in the columns z000, z001, … without a gap, in one column of "
                "lists, or in other numbered columns",
                f"{len(table)} rows with the columns {printable(', '.join(table.column_names[:8]))}",
                "Write it with caescope encode, or rename the columns.",
            )
        read_from, names = found
        known = _known(table, set(names), is_part)
        return LatentTable(latents=_stack(table, names), read_from=printable(read_from), **known)


def _from_array(path: Path, latents: np.ndarray) -> LatentTable:
    if latents.ndim < 2 or not latents.size or latents.dtype.kind not in "fiub":
        raise FileFormatError(
            f"{path} must hold latents of shape (n_images, latent_features)",
            f"an array of shape {latents.shape} and dtype {latents.dtype}",
            "Save one row of numbers for each image.",
        )
    table = latents.reshape(len(latents), -1).astype(np.float32)
    return LatentTable(np.arange(len(table)).astype(str), table, read_from="the array")


def _find_latents(table: pa.Table) -> tuple[str, list[str]] | None:
    """Return what to call the columns with the latents, and their names."""
    if not len(table):
        return None
    if names := [name for name in table.column_names if LATENT.fullmatch(name)]:
        expected = [f"z{i:03d}" for i in range(len(names))]
        return (f"{expected[0]} to {expected[-1]}", expected) if set(names) == set(expected) else None
    kinds = {name: table.schema.field(name).type for name in table.column_names}
    lists = [name for name, kind in kinds.items() if _is_list(kind)]
    if len(lists) == 1:
        return lists[0], lists
    numeric = [name for name, kind in kinds.items() if _is_number(kind) and not RESERVED.fullmatch(name)]
    if families := _families(numeric):
        largest = max(families, key=len)
        return f"{largest[0]} to {largest[-1]}", largest
    return None


def _families(names: list[str]) -> list[list[str]]:
    """Return names that differ in the number at their end alone, in its order, where there are several.

    >>> _families(["emb_1", "age", "emb_0", "PC1"])
    [['emb_0', 'emb_1']]
    """
    parts = [match.groups() for name in names if (match := NUMBERED.fullmatch(name))]
    parts = sorted(parts, key=lambda part: (part[0], int(part[1])))
    groups = [["".join(part) for part in group] for _, group in groupby(parts, key=lambda part: part[0])]
    return [group for group in groups if len(group) > 1]


def _is_list(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and _is_number(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _stack(table: pa.Table, names: list[str]) -> np.ndarray:
    """Return the latents in these columns, shape (n, latent_features), float32."""
    if len(names) == 1 and _is_list(table.schema.field(names[0]).type):
        _demand_full(table, names[0])
        return np.stack([np.asarray(row, np.float32) for row in table[names[0]].to_pylist()])
    return np.stack([_column(table, name, np.float32) for name in names], axis=1)


def _known(table: pa.Table, latents: set[str], is_part: bool) -> dict[str, Any]:
    """Return what else a table says about its images."""
    has = set(table.column_names) - latents
    key = next((name for name in ("id", "path") if name in has), None)
    ids = np.arange(len(table)).astype(str) if key is None else _column(table, key, str)
    is_mapped = {"map_x", "map_y"} <= has
    axes = [_column(table, name, np.float32) for name in ("map_x", "map_y")] if is_mapped else []
    return {
        "ids": ids,
        "split": _column(table, "split", str) if "split" in has else None,
        "labels": _labels(table, "label", is_part) if "label" in has else None,
        "map": np.stack(axes, axis=1) if is_mapped else None,
        "clusters": _column(table, "cluster", np.int32) if "cluster" in has else None,
        "errors": _column(table, "error", np.float32) if "error" in has else None,
        "columns": _others(table, [name for name in table.column_names if name in has], is_part),
    }


def _others(table: pa.Table, names: list[str], is_part: bool) -> dict[str, np.ndarray]:
    """Return the columns that are no part of the format; those of another kind or empty say nothing."""
    columns = {}
    for name in names:
        if not RESERVED.fullmatch(name) and name.strip():
            try:
                columns[name] = _labels(table, name, is_part)
            except DataError:
                continue
    return columns


def _labels(table: pa.Table, name: str, is_part: bool) -> np.ndarray:
    if is_part and table[name].null_count == len(table):
        return _all_missing(table.schema.field(name).type, len(table))
    return parse_labels(table[name].to_pylist(), len(table), name)


def _all_missing(kind: pa.DataType, n_images: int) -> np.ndarray:
    """Return labels of which none is known, of the dtype that known ones have."""
    is_known = _is_number(kind) or pa.types.is_boolean(kind)
    dtype = np.dtype(kind.to_pandas_dtype()) if is_known else np.dtype("U1")
    return np.ma.array(np.zeros(n_images, dtype), mask=True)


def _column(table: pa.Table, name: str, dtype) -> np.ndarray:
    _demand_full(table, name)
    return table[name].to_numpy().astype(dtype)


def _demand_full(table: pa.Table, name: str) -> None:
    if table[name].null_count:
        raise ValueError(f"column {name} has {table[name].null_count} empty cells")


def _nullable(values: np.ndarray) -> pa.Array:
    """Return values as Arrow has them: empty where they are masked."""
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, mask=np.ma.getmaskarray(values))
    return pa.array(values)
