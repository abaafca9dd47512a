"""What is kept of each part when all images are assigned: sums and counts, which add up."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caescope.analysis.label_counts import LabelCounts
from caescope.analysis.moments import Moments
from caescope.data.sources import SPLITS
from caescope.files import decoding


@dataclass(frozen=True, eq=False, repr=False)
class Totals:
    """Sums and counts over images; two of different images add up to those of both.

    Attributes
    ----------
    moments : Moments
        Of the latents.
    splits : numpy.ndarray, shape (3,), int64
        Train, validation and test images.
    errors : numpy.ndarray, shape (3,), float64, or None
        The sum of their reconstruction errors.
    clusters : numpy.ndarray, shape (k + 1,), int64
        Images of each cluster, and of none.
    density : numpy.ndarray, shape (side, side), int64
        Images in each cell of the map.
    labels : mapping of str to LabelCounts
        How clusterings, predictions and answers of the probe meet labels or groups, by their names.
    """

    moments: Moments
    splits: np.ndarray
    errors: np.ndarray | None
    clusters: np.ndarray
    density: np.ndarray
    labels: Mapping[str, LabelCounts] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.moments.n

    def __repr__(self) -> str:
        return f"Totals({len(self):,} images)"

    def __add__(self, other: "Totals") -> "Totals":
        errors = None if self.errors is None or other.errors is None else self.errors + other.errors
        return Totals(
            self.moments + other.moments,
            self.splits + other.splits,
            errors,
            self.clusters + other.clusters,
            self.density + other.density,
            {name: counts + other.labels[name] for name, counts in self.labels.items()},
        )


def split_sums(split: np.ndarray, errors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return how many images each split has, and the sum of their errors."""
    rows = [split == name for name in SPLITS]
    counts = np.array([row.sum() for row in rows], np.int64)
    if errors is None:
        return counts, None
    return counts, np.array([errors[row].sum(dtype=np.float64) for row in rows])


def pack(totals: Totals, **facts: Any) -> bytes:
    """Return totals, and facts that JSON can hold, as the content of an NPZ file."""
    moments = totals.moments
    names = {name: counts.names for name, counts in totals.labels.items()}
    texts = json.dumps({"n": moments.n, "names": names, "facts": facts}).encode()
    arrays: dict[str, Any] = {
        "texts": np.frombuffer(texts, np.uint8),
        "mean": moments.mean,
        "low": moments.low,
        "high": moments.high,
        "scatter": moments.scatter,
        "splits": totals.splits,
        "errors": totals.errors,
        "clusters": totals.clusters,
        "density": totals.density,
        **{f"labels {name}": counts.table for name, counts in totals.labels.items()},
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: values for name, values in arrays.items() if values is not None})
    return buffer.getvalue()


def unpack(content: bytes, name: str = "totals") -> tuple[Totals, dict[str, Any]]:
    """Return the totals and facts that `pack` wrote.

    Raises
    ------
    FileFormatError
        If it is something else; ``name`` is what messages call it.
    """
    with decoding(name, "totals of parts"), np.load(io.BytesIO(content), allow_pickle=False) as file:
        held = dict(file.items())
        texts = json.loads(held["texts"].tobytes())
        moments = Moments(texts["n"], held["mean"], held["low"], held["high"], held.get("scatter"))
        tables = {name: LabelCounts(held[f"labels {name}"], names) for name, names in texts["names"].items()}
        sums = held["splits"], held.get("errors"), held["clusters"], held["density"]
        return Totals(moments, *sums, tables), texts["facts"]
