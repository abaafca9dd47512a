"""Images that cannot be read: how many may be left out, and the table of them where there are more."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from caescope.data.folder import FolderSource
from caescope.errors import DataError, OptionError
from caescope.files import printable

MOST_ROWS = 10


def parse_share(share: Any, name: str = "skip_unreadable") -> float:
    """Return a share from 0 to 1.

    >>> parse_share(0.01)
    0.01
    """
    try:
        number = math.nan if isinstance(share, bool) else float(share)
    except (TypeError, ValueError):
        number = math.nan
    if 0 <= number <= 1:
        return number
    raise OptionError(
        f"{name} must be a share from 0 to 1", f"{name}={share!r}", f"Use for example {name}=0.01."
    )


def leave_out_unreadable(source: FolderSource, share: float) -> FolderSource:
    """Return the source without the images that cannot be read; those are in its ``skipped``.

    Parameters
    ----------
    source : FolderSource
    share : float in [0, 1]
        How many of the images may be unreadable.

    Raises
    ------
    DataError
        If there are more, or no image is left; the message has the first ten and their reasons.
    """
    unreadable = source.scan()
    if not unreadable:
        return source
    if len(unreadable) > share * len(source) or len(unreadable) == len(source):
        raise _too_many(unreadable, source, share)
    names = [name for name, _ in unreadable]
    kept = source.take(~np.isin(source.ids, names))
    return replace(kept, skipped=[*source.skipped, *unreadable])


def _too_many(unreadable: list[tuple[str, str]], source: FolderSource, share: float) -> DataError:
    rows = unreadable[:MOST_ROWS]
    width = max(len(name) for name, _ in rows)
    table = [f"  {printable(name):<{width}}  {reason}" for name, reason in rows]
    rest = len(unreadable) - len(rows)
    more = [f"  and {rest:,} more"] if rest else []
    return DataError(
        _must(source, share),
        "\n".join([f"{len(unreadable):,} of {len(source):,} images that cannot be read:", *table, *more]),
        "Fetch them again or remove them; skip_unreadable=0.01 leaves out up to one in a hundred.",
    )


def _must(source: FolderSource, share: float) -> str:
    if share == 0:
        return f"All images of {source.name} must be readable"
    if share == 1:
        return f"At least one image of {source.name} must be readable"
    return f"At most {share:.4g} of the images of {source.name} may be unreadable"
