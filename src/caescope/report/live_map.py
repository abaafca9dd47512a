"""The map as something to move and zoom: places and colours as text, and the explorer's own drawing."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from caescope.explorer.pages import static_files
from caescope.explorer.payload import Column, category_column
from caescope.report.formatting import visible
from caescope.table import LatentTable

MOST_POINTS = 20_000  # of more images a sample is shown: the report stays small
MOST_GROUPS = 250
STEPS = 2**16 - 1  # of a place, from one end of the map to the other
PARTS = {
    "colours.js": ("categoryColours", "cssColour", "NO_CODE"),
    "places.js": ("createPlaces",),
    "scatter.js": ("createScatter",),
    "gestures.js": ("attachGestures",),
}


class LiveMap(NamedTuple):
    """What the page holds of the map.

    Attributes
    ----------
    n, shown : int
        How many images there are, and how many points.
    places : str
        uint16, two for each point, base64.
    colours : str
        JSON: a list of ``{"name", "groups", "codes"}``; codes are one byte for each point, base64, and 255 is
        none.
    """

    n: int
    shown: int
    places: str
    colours: str


def live_map_of(table: LatentTable | None, names: Mapping[str, str]) -> LiveMap | None:
    """Return the map of a table, clusters by the names they were given, or None where there is no map."""
    if table is None or table.map is None:
        return None
    rows = np.flatnonzero(np.isfinite(table.map).all(axis=1))
    if len(rows) > MOST_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_POINTS, replace=False))
    if not len(rows):
        return None
    colours = [_describe(column, rows, names) for column in _columns(table)]
    return LiveMap(len(table), len(rows), _as_text(_steps(table.map[rows])), json.dumps(colours))


def _columns(table: LatentTable) -> list[Column]:
    """Return what the map is coloured by: clusters and labels, where they are not too many."""
    known = {"cluster": table.clusters, "label": table.labels}
    found = [category_column(name, values) for name, values in known.items() if values is not None]
    return [column for column in found if column and len(column.categories or ()) <= MOST_GROUPS]


def _describe(column: Column, rows: np.ndarray, names: Mapping[str, str]) -> dict[str, object]:
    called = names if column.name == "cluster" else {}
    groups = [visible(called.get(name, name)) for name in column.categories or ()]
    return {"name": column.name, "groups": groups, "codes": _as_text(column.values[rows].astype(np.uint8))}


def _steps(points: np.ndarray) -> np.ndarray:
    """Return places in whole steps, alike on both axes, shape (n, 2), uint16."""
    low, span = points.min(axis=0), np.ptp(points, axis=0).max()
    return np.rint((points - low) / (span or 1) * STEPS).astype("<u2")


def _as_text(values: np.ndarray) -> str:
    return b64encode(values.tobytes()).decode()


def live_script() -> str:
    """Return the script that draws it: parts of the explorer, each in a scope of its own."""
    parts = [_scoped(static_files()[name].decode(), names) for name, names in PARTS.items()]
    own = (files("caescope.report") / "live-map.js").read_text("utf-8")
    return "\n".join([*parts, own])


def _scoped(module: str, names: tuple[str, ...]) -> str:
    """Return a module that imports nothing as an expression that gives some of what it exports."""
    plain = re.sub(r"^export ", "", module, flags=re.MULTILINE)
    shared = ", ".join(names)
    return f"const {{ {shared} }} = (() => {{\n{plain}\nreturn {{ {shared} }};\n}})();"


def digest_of(script: str) -> str:
    """Return what the page's policy calls a script that it allows."""
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()
