"""GeoJSON that QuPath opens: tiles as objects with a class, or one annotation for each class."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from caescope.errors import OptionError
from caescope.exporting.classes import Classes, parse_classes
from caescope.exporting.outlines import Grid, Ring, lay_on_grid, outline
from caescope.exporting.tiles import Tiles, file_names, one_size, parse_tiles
from caescope.table import LatentTable
from caescope.writing import write_atomically

SUFFIXES = (".geojson", ".json")
PLACE = ("x", "y", "size")  # told by the polygon itself
Feature = dict[str, Any]


def write_geojson(
    table: LatentTable,
    path: str | os.PathLike,
    value: str = "cluster",
    dissolve: bool = False,
    names: Mapping | None = None,
) -> list[Path]:
    """Write the tiles of each slide, coloured by a class, as QuPath reads them.

    In QuPath: *File → Import objects from file*, with the slide open. Colours are those of the map. Tiles
    carry their id as name, and their error and other numbers as measurements; a tile without a class
    (cluster -1, an empty cell) has no classification.

    Parameters
    ----------
    table : LatentTable
        Its rows are tiles: it has the columns ``slide``, ``x``, ``y`` and ``size``, in pixels of level 0.
    path : path-like
        A folder, where each slide gets the file ``<slide>.geojson``; for a single slide also a file that
        ends in ``.geojson`` or ``.json``. Files of these names that are there are replaced.
    value : str
        The class: "cluster", "label", or another column of texts or whole numbers.
    dissolve : bool
        Join the tiles of a class that share a side: one annotation for each class, as a MultiPolygon, or a
        Polygon where it is in one piece. Tiles without a class are left out.
    names : mapping, optional
        Names for some classes, by value: ``{0: "stroma"}``.

    Returns
    -------
    list of pathlib.Path
        The files written. Nothing is written before the tiles of all slides are known to be usable.

    Raises
    ------
    DataError
        If the table has no tiles, or they are to be dissolved and overlap or lie on no grid.
    OptionError
        If there is no column ``value``, or ``path`` is a file and there are several slides or it
        has another ending.

    References
    ----------
    Bankhead et al., "QuPath: open source software for digital pathology image analysis", Scientific
    Reports 7, 2017; its format since version 0.4: https://github.com/qupath/qupath/pull/1099. RFC 7946, "The
    GeoJSON format".

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> place = {"x": np.array([0, 8]), "y": np.array([0, 0]), "size": np.array([8, 8])}
    >>> table = LatentTable(np.array(["0", "1"]), np.zeros((2, 4)), clusters=np.array([1, 1]),
    ...                     columns={"slide": np.array(["a", "a"]), **place})
    >>> with TemporaryDirectory() as folder:
    ...     feature = json.loads(write_geojson(table, f"{folder}/a.geojson", dissolve=True)[0].read_text())
    >>> feature["features"][0]["geometry"]["coordinates"]
    [[[0, 0], [16, 0], [16, 8], [0, 8], [0, 0]]]
    """
    tiles, classes = parse_tiles(table), parse_classes(table, value, names)
    places = tiles.rows_by_slide()
    files = _files(Path(path), list(places))
    grids = [_grid(tiles, rows) if dissolve else None for rows in places.values()]
    for file, rows, grid in zip(files, places.values(), grids, strict=True):
        features = _annotations(rows, grid, classes) if grid else _tiles(table, tiles, classes, rows)
        collection = {"type": "FeatureCollection", "features": features}
        write_atomically(file, json.dumps(collection, allow_nan=False, separators=(",", ":")).encode())
    return files


def _files(path: Path, slides: list[str]) -> list[Path]:
    names = file_names(slides)
    is_named = path.suffix.lower() in SUFFIXES and not path.is_dir()
    if is_named and len(slides) == 1:
        return [path]
    if is_named or path.is_file():
        raise OptionError(
            f"path must be a folder, or for a single slide a file that ends in {' or '.join(SUFFIXES)}",
            f"{path} for {len(slides)} slide{'s' * (len(slides) > 1)}",
            "Give the path of a new folder.",
        )
    return [path / f"{name}.geojson" for name in names]


def _grid(tiles: Tiles, rows: np.ndarray) -> Grid:
    return lay_on_grid(tiles.x[rows], tiles.y[rows], one_size(tiles, rows))


def _tiles(table: LatentTable, tiles: Tiles, classes: Classes, rows: np.ndarray) -> list[Feature]:
    numbers = _measurements(table, rows)
    features = []
    for i, row in enumerate(rows.tolist()):
        known = {name: values[i].item() for name, values in numbers.items() if np.isfinite(values[i])}
        properties = {
            "objectType": "tile",
            "name": str(table.ids[row]),
            **_class(classes, int(classes.codes[row])),
            "measurements": known,
        }
        features.append(_feature("Polygon", [_square(tiles, row)], properties))
    return features


def _annotations(rows: np.ndarray, grid: Grid, classes: Classes) -> list[Feature]:
    features = []
    for code in range(len(classes.names)):
        chosen = classes.codes[rows] == code
        if chosen.any():
            polygons = [[_placed(ring, grid) for ring in rings] for rings in outline(grid.mask(chosen))]
            properties = {
                "objectType": "annotation",
                **_class(classes, code),
                "measurements": {"tiles": int(chosen.sum())},
            }
            kind, places = ("Polygon", polygons[0]) if len(polygons) == 1 else ("MultiPolygon", polygons)
            features.append(_feature(kind, places, properties))
    return features


def _feature(kind: str, coordinates: list, properties: dict) -> Feature:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _class(classes: Classes, code: int) -> dict[str, dict]:
    if code < 0:
        return {}
    return {"classification": {"name": classes.names[code], "color": list(classes.colors[code])}}


def _square(tiles: Tiles, row: int) -> list[list]:
    x, y, size = tiles.x[row].item(), tiles.y[row].item(), tiles.size[row].item()
    return _closed([(x, y), (x + size, y), (x + size, y + size), (x, y + size)])


def _placed(ring: Ring, grid: Grid) -> list[list]:
    return _closed([(grid.x_edges[column].item(), grid.y_edges[row].item()) for column, row in ring])


def _closed(ring: list[tuple]) -> list[list]:
    return [[_short(x), _short(y)] for x, y in [*ring, ring[0]]]


def _short(number: float) -> int | float:
    """Return a number without a fraction of nought, and to a hundredth of a pixel."""
    return int(number) if number == int(number) else round(number, 2)


def _measurements(table: LatentTable, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is measured of these tiles, NaN where it is not known."""
    columns = {"error": table.errors, **table.columns}
    return {
        name: np.ma.filled(np.ma.asarray(values[rows]).astype(np.float64), np.nan)
        for name, values in columns.items()
        if values is not None and name not in PLACE and values.dtype.kind in "iuf"
    }
