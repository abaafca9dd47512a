"""AnnData, which scanpy and squidpy work on."""

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caescope.errors import DataError, MissingDependencyError
from caescope.exporting.tiles import parse_tiles
from caescope.files import printable
from caescope.table import LatentTable
from caescope.writing import replacing


def write_h5ad(table: LatentTable, path: str | os.PathLike) -> Path:
    """Write a table as AnnData; needs ``pip install "caescope[anndata]"``.

    ``X`` holds the latents, float32; ``obs`` has the ids as names, and ``split``, ``label``, ``cluster`` (a
    category, empty where it is -1), ``error`` and all other columns, where they are known;
    ``obsm["spatial"]`` the tiles' centres in pixels of level 0, x first; ``obsm["X_map"]`` the map, if any.

    Parameters
    ----------
    table : LatentTable
        Its rows are tiles: it has the columns ``slide``, ``x``, ``y`` and ``size``.
    path : path-like
        The file, by custom ending in .h5ad; it appears as a whole, and replaces one that is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError
        If the table has no tiles, or an id twice.
    MissingDependencyError
        If anndata is not installed.

    References
    ----------
    Virshup et al., "anndata: access and store annotated data matrices", Journal of Open Source Software 9,
    2024.

    Examples
    --------
    >>> write_h5ad(table, "tiles.h5ad")  # doctest: +SKIP
    PosixPath('tiles.h5ad')
    """
    path = Path(path)
    tiles = parse_tiles(table)
    _demand_unique(table.ids)
    with _quiet():
        anndata, pandas = _import_extra("anndata"), _import_extra("pandas")
        places = {"spatial": tiles.centres} | ({} if table.map is None else {"X_map": table.map})
        data = anndata.AnnData(
            X=np.asarray(table.latents, np.float32),
            obs=_obs(table, pandas),
            var=pandas.DataFrame(index=_index(pandas, [f"z{i:03d}" for i in range(table.latents.shape[1])])),
            obsm=places,
        )
        with replacing(path) as part:
            data.write_h5ad(part)
    return path


def _obs(table: LatentTable, pandas: Any) -> Any:
    own = {"split": table.split, "label": table.labels, "cluster": _clusters(table), "error": table.errors}
    columns = {name: values for name, values in {**own, **table.columns}.items() if values is not None}
    frame = pandas.DataFrame({name: _cells(pandas, values) for name, values in columns.items()})
    frame.columns = _index(pandas, list(columns))
    frame.index = _index(pandas, table.ids.tolist())
    return frame


def _clusters(table: LatentTable) -> np.ndarray | None:
    """Return the clusters as text, which scanpy takes for categories and not for numbers."""
    if table.clusters is None:
        return None
    return np.ma.array(table.clusters.astype(str), mask=table.clusters == -1)


def _cells(pandas: Any, values: np.ndarray) -> Any:
    """Return a column in the kind of pandas that AnnData can write, empty where it is masked."""
    mask, plain = np.ma.getmaskarray(values), np.asarray(values)
    if plain.dtype.kind == "U":  # as objects: anndata does not write the strings of pandas 3
        known = _index(pandas, sorted(set(plain[~mask].tolist())))
        texts = plain.astype(object)
        texts[mask] = None
        return pandas.Categorical(texts, categories=known)
    if not mask.any():
        return plain
    if plain.dtype.kind == "f":
        return np.where(mask, np.nan, plain)
    make = pandas.arrays.BooleanArray if plain.dtype.kind == "b" else pandas.arrays.IntegerArray
    return make(plain.copy(), mask.copy())


def _index(pandas: Any, names: list[str]) -> Any:
    return pandas.Index(np.array(names, dtype=object), dtype=object)


def _demand_unique(ids: np.ndarray) -> None:
    names, counts = np.unique(ids, return_counts=True)
    if counts.max() > 1:
        raise DataError(
            "ids must be unique",
            f"{printable(str(names[counts.argmax()]), 60)!r} {counts.max()} times",
            "Give every tile a name of its own.",
        )


def _import_extra(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        advice = 'Install it with pip install "caescope[anndata]".'
        raise MissingDependencyError("Writing .h5ad needs anndata", "none", advice) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the extra's packages tell about their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
