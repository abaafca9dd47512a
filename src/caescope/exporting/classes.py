"""Classes of tiles: their names, and the colours that they have on the map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caescope.errors import DataError, OptionError
from caescope.files import printable
from caescope.plots.style import palette
from caescope.table import LatentTable

MOST_CLASSES = 1000
OWN = ("cluster", "label", "split")


@dataclass(frozen=True, eq=False)
class Classes:
    """A class for each tile.

    Attributes
    ----------
    codes : numpy.ndarray, shape (n,), int
        The class of each tile; -1 is none.
    names : sequence of str
    colors : sequence of tuple of int
        Red, green and blue, 0 to 255.
    """

    codes: np.ndarray
    names: Sequence[str]
    colors: Sequence[tuple[int, ...]]


def parse_classes(table: LatentTable, value: str, names: Mapping | None = None) -> Classes:
    """Return the classes that a column gives to tiles.

    Parameters
    ----------
    table : LatentTable
    value : str
        "cluster", "label", "split" or another column of texts, whole numbers or booleans.
    names : mapping, optional
        Names for some of its values.

    Raises
    ------
    OptionError
        If there is no such column, or it holds fractions.

    Examples
    --------
    >>> table = LatentTable(np.array(["a", "b"]), np.zeros((2, 4)), clusters=np.array([0, 1]))
    >>> classes = parse_classes(table, "cluster", {1: "stroma"})
    >>> classes.names, classes.colors[0]
    (['cluster 0', 'stroma'], (63, 144, 218))
    """
    values = _column(table, value)
    is_none = np.ma.getmaskarray(values)
    found, codes = np.unique(np.asarray(values)[~is_none], return_inverse=True)
    if len(found) > MOST_CLASSES or (found.dtype.kind == "f" and (found != np.rint(found)).any()):
        raise OptionError(
            f"value must be a column of at most {MOST_CLASSES:,} classes",
            f"{printable(value, 60)!r}, with {len(found):,} different values",
            'Use for example value="cluster"; numbers go along as measurements.',
        )
    all_codes = np.full(len(values), -1)
    all_codes[~is_none] = codes
    if value == "cluster" and len(found):
        all_codes[np.asarray(values) == -1] = -1
    called = [_name(entry, value, names or {}) for entry in found.tolist()]
    colors = [tuple(round(255 * c) for c in color) for color in palette(len(found))]
    return Classes(all_codes, called, colors)


def _column(table: LatentTable, value: str) -> np.ndarray:
    if (values := table.column(value)) is None:
        known = [name for name in (*OWN, *table.columns) if table.column(name) is not None]
        raise OptionError(
            "value must be a column of the table",
            f"{printable(str(value), 60)!r}, which is none of {printable(', '.join(known)) or '(none)'}",
            "Check the spelling, or cluster the latents first.",
        )
    return values


def _name(entry, value: str, names: Mapping) -> str:
    default = (
        f"cluster {entry}" if value == "cluster" else f"{entry:g}" if isinstance(entry, float) else entry
    )
    name = str(names.get(entry, names.get(str(entry), default))).strip()
    if not name:
        raise DataError(
            "Classes must have names",
            f"an empty one for {entry!r}",
            "Give it one by names, or leave it empty.",
        )
    return name
