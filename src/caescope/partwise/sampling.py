"""A random sample of a collection in parts: every set of so many images is as likely as any other."""

from dataclasses import dataclass

import numpy as np

from caescope.parallel import map_in_order
from caescope.partwise.reading import PartReader, digest_of, join, take
from caescope.partwise.splitting import row_units
from caescope.table import LatentTable

READERS = 2  # threads; each has a few parts in memory


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """Some images of a collection, in its order.

    Attributes
    ----------
    table : LatentTable
    rows : numpy.ndarray, shape (n_images,), int64
        Their numbers in the collection, rising.
    units : numpy.ndarray, shape (n_images,), float64
        As `caescope.partwise.splitting.row_units` draws them.
    digests : tuple of int
        Of every part of the collection, to know them again.
    """

    table: LatentTable
    rows: np.ndarray
    units: np.ndarray
    digests: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Sample({len(self):,} images of {len(self.digests):,} parts)"


def draw_rows(total: int, wanted: int, seed: int) -> np.ndarray:
    """Return the numbers of ``wanted`` images of ``total``, or of all, rising, shape (n_images,), int64.

    >>> draw_rows(3, 5, seed=0).tolist(), len(set(draw_rows(10**9, 1000, seed=0).tolist()))
    ([0, 1, 2], 1000)
    """
    if wanted >= total:
        return np.arange(total)
    drawn = np.random.default_rng(seed).choice(total, wanted, replace=False, shuffle=False)
    return np.sort(drawn).astype(np.int64)


def rows_of_part(rows: np.ndarray, start: int, count: int) -> slice:
    """Return where among rising ``rows`` those of the part are that begins with the image ``start``.

    >>> rows_of_part(np.array([1, 5, 6, 9]), start=5, count=3)
    slice(1, 3, None)
    """
    low, high = np.searchsorted(rows, [start, start + count])
    return slice(int(low), int(high))


def draw_sample(reader: PartReader, wanted: int, seed: int) -> Sample:
    """Return a sample; every part is read once, and checked, whether any of its images is drawn or not.

    Raises
    ------
    FileFormatError, DataError, OptionError
        If a part or the column of labels cannot be used.
    """
    parts = reader.parts
    rows, first = draw_rows(len(parts), wanted, seed), reader.read(0)

    def look(i: int) -> tuple[LatentTable, np.ndarray, int]:
        table, start = reader.read(i) if i else first, reader.starts[i]
        reader.demand_alike(i, table, first)
        own = rows[rows_of_part(rows, start, len(table))] - start
        return take(table, own), row_units(seed, start, len(table))[own], digest_of(table)

    found = [*map_in_order(look, range(len(parts.files)), READERS)]
    tables, units, digests = zip(*found, strict=True)
    return Sample(join(list(tables)), rows, np.concatenate(units), digests)
