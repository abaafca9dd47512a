"""Every image of a part: where it lies on the sample's map, its cluster, and what it adds to the totals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from caescope.analysis.clustering import Clusters
from caescope.analysis.density import Grid
from caescope.analysis.label_counts import LabelCounts, count_labels
from caescope.analysis.moments import moments_of
from caescope.analysis.probe import FittedProbe
from caescope.analysis.projection import Projection
from caescope.auditing import group_column
from caescope.errors import DataError
from caescope.parts import part_name
from caescope.partwise.reading import PartReader, digest_of, naming
from caescope.partwise.sampling import rows_of_part
from caescope.partwise.splitting import SplitRule, group_units, row_units
from caescope.partwise.totals import Totals, split_sums
from caescope.storage import Place
from caescope.table import LatentTable

MAIN = "map"  # the clustering that the report shows, of the sample's map
PREDICTED, ANSWERS = "predicted", "answers"  # what the probe says of test images; wrong and right by group


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the sample taught, whoever applies it.

    Attributes
    ----------
    rows : numpy.ndarray, shape (n_sampled,), int64
        Numbers of the sample's images in the collection, rising.
    map : numpy.ndarray, shape (n_sampled, 2), float32
        Where they lie.
    clusters : numpy.ndarray, shape (n_sampled,), int32
        Their clusters.
    projection : Projection
        Places all others.
    clusterings : mapping of str to (str, Clusters)
        By name: what each works on, "map" or "latents", and what it found.
    grid : Grid
    split, probe_split : SplitRule
    group : str or None
    probe : FittedProbe or None
        None where labels are not judged; nothing is counted by label then.
    """

    rows: np.ndarray
    map: np.ndarray
    clusters: np.ndarray
    projection: Projection
    clusterings: Mapping[str, tuple[str, Clusters]]
    grid: Grid
    split: SplitRule
    probe_split: SplitRule
    group: str | None = None
    probe: FittedProbe | None = None


@dataclass(frozen=True, eq=False)
class Assigner:
    """Assigns the images of a part, writes them down, and returns what they add to the totals.

    Attributes
    ----------
    reader : PartReader
    digests : tuple of int
        What `caescope.partwise.reading.digest_of` said of each part when the sample was drawn.
    target : Place
        The folder of parts that is written: all that is known of each image but its latents.
    fitted : Fitted
    """

    reader: PartReader
    digests: tuple[int, ...]
    target: Place
    fitted: Fitted

    def __call__(self, i: int) -> Totals:
        """Assign a part; the same part gives the same file and totals, however often.

        Raises
        ------
        FileFormatError, DataError
            If it cannot be used, or is not what it was when the sample was drawn.
        OutputError
            If the result cannot be written.
        """
        table, start = self.reader.read(i), self.reader.starts[i]
        place = self.reader.place(i)
        if digest_of(table) != self.digests[i]:
            raise DataError(
                "The parts must stay what they were when the sample was drawn",
                f"{place}, which changed meanwhile",
                "Wait until nothing writes there, and analyse it again.",
            )
        with naming(place):
            assigned, units = assign(table, start, self.fitted)
            totals = sum_up(assigned, units, self.fitted)
        kept = {name: assigned.columns[name] for name in [self.fitted.group] if name}
        nothing = np.empty((len(assigned), 0), np.float32)
        content = replace(assigned, latents=nothing, columns=kept).as_parquet()
        (self.target / part_name(start)).write_bytes(content)
        return totals


def assign(table: LatentTable, start: int, fitted: Fitted) -> tuple[LatentTable, np.ndarray]:
    """Return a part with split, map and clusters, and the numbers that split it, shape (n_images,).

    Images of the sample stay where they are on its map, and in their clusters.
    """
    groups = group_column(table.columns, fitted.group)
    seed = fitted.split.seed
    units = row_units(seed, start, len(table)) if groups is None else group_units(seed, groups)
    sampled = rows_of_part(fitted.rows, start, len(table))
    own = np.zeros(len(table), bool)
    own[fitted.rows[sampled] - start] = True
    points, clusters = np.empty((len(table), 2), np.float32), np.empty(len(table), np.int32)
    points[own], clusters[own] = fitted.map[sampled], fitted.clusters[sampled]
    if not own.all():
        points[~own] = fitted.projection.transform(table.latents[~own])
        clusters[~own] = fitted.clusterings[MAIN][1].predict(points[~own])
    split = fitted.split.assign(table.split, units)
    return replace(table, split=split, map=points, clusters=clusters), units


def sum_up(table: LatentTable, units: np.ndarray, fitted: Fitted) -> Totals:
    """Return what an assigned part adds to the totals."""
    assert table.split is not None
    assert table.clusters is not None
    _demand_finite(table.errors)
    k = fitted.clusterings[MAIN][1].k
    splits, errors = split_sums(table.split, table.errors)
    return Totals(
        moments_of(table.latents),
        splits,
        errors,
        np.bincount(np.where(table.clusters < 0, k, table.clusters), minlength=k + 1),
        fitted.grid.count(table.map),
        {} if fitted.probe is None else _count(table, units, fitted),
    )


def _count(table: LatentTable, units: np.ndarray, fitted: Fitted) -> dict[str, LabelCounts]:
    """Return how clusterings and the probe's predictions meet the labels."""
    assert fitted.probe is not None
    assert table.labels is not None
    spaces, counts = {"map": table.map, "latents": table.latents}, {}
    for name, (space, found) in fitted.clusterings.items():
        clusters = table.clusters if name == MAIN else found.predict(spaces[space])
        counts[name] = count_labels(clusters, found.k, table.labels)
    test = fitted.probe_split.assign(table.split, units) == "test"
    predicted, right = _ask(fitted.probe, table, test & ~np.ma.getmaskarray(table.labels))
    groups = np.zeros(len(table), int) if fitted.group is None else table.columns[fitted.group]
    counts[PREDICTED] = count_labels(predicted, len(fitted.probe.names), table.labels)
    return counts | {ANSWERS: count_labels(right, 2, groups)}


def _ask(probe: FittedProbe, table: LatentTable, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what each image is taken for, and whether that is right; -1 where it is not asked about."""
    predicted, right = np.full(len(table), -1), np.full(len(table), -1)
    if asked.any():
        names = np.array(probe.names, object)
        predicted[asked] = probe.predict(table.latents[asked])
        right[asked] = names[predicted[asked]] == np.asarray(table.labels)[asked].astype(object)
    return predicted, right


def _demand_finite(errors: np.ndarray | None) -> None:
    if errors is not None and not np.isfinite(errors).all():
        raise DataError(
            "Reconstruction errors must be finite",
            f"NaN or infinity for {int((~np.isfinite(errors)).sum())} images",
            "Encode the images again, or leave the column error out.",
        )
