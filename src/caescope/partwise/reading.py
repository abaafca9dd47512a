"""Parts of latents, one at a time, each checked against the first."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError, InputError, OptionError
from caescope.files import printable
from caescope.parts import LatentParts
from caescope.storage import Place
from caescope.table import LatentTable

KINDS = {"i": "whole numbers", "u": "whole numbers", "f": "fractions", "b": "booleans", "U": "texts"}


@dataclass(frozen=True, eq=False)
class PartReader:
    """Reads parts, with one of their columns as labels.

    Attributes
    ----------
    parts : LatentParts
    labels : str or None
        The column; None for ``label``, where there is one.
    """

    parts: LatentParts
    labels: str | None = None

    def read(self, i: int) -> LatentTable:
        """Return a part, checked; what is wrong with it is said with its name.

        Raises
        ------
        FileFormatError, DataError
            If it cannot be used.
        """
        table = self.parts.read(i)
        with naming(self.place(i)):
            return replace(_labelled(table, self.labels), latents=parse_latents(table.latents))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The number of the first image of each part."""
        return self.parts.starts

    def place(self, i: int) -> Place:
        """Return where a part is."""
        return self.parts.place / self.parts.files[i]

    def demand_alike(self, i: int, table: LatentTable, first: LatentTable) -> None:
        """Raise `DataError` unless a part has the latents and columns of the first one."""
        for ours, theirs in zip(_form(table), _form(first), strict=True):
            if ours != theirs:
                raise DataError(
                    f"All parts must have what {self.parts.files[0]} has, {theirs}",
                    f"{ours} in {self.place(i)}",
                    "Write the folder again with --overwrite, or leave that part out.",
                )


@contextmanager
def naming(place: Place) -> Iterator[None]:
    """Let what is wrong with a part be said with its name."""
    try:
        yield
    except InputError as error:
        raise type(error)(error.must, f"{error.received}, in {place}", error.advice) from error


def digest_of(table: LatentTable) -> int:
    """Return a number that changes with the ids and latents of a part."""
    digest = zlib.crc32(np.ascontiguousarray(table.latents).data)
    return zlib.crc32("\n".join(table.ids.tolist()).encode(), digest)


def take(table: LatentTable, rows: np.ndarray) -> LatentTable:
    """Return some rows of a table."""

    def chosen(values: Any) -> Any:
        return None if values is None else values[rows]

    return replace(
        table,
        ids=table.ids[rows],
        latents=table.latents[rows],
        split=chosen(table.split),
        map=None,
        clusters=None,
        labels=chosen(table.labels),
        errors=chosen(table.errors),
        columns={name: values[rows] for name, values in table.columns.items()},
    )


def join(tables: list[LatentTable]) -> LatentTable:
    """Return tables of the same columns as one, without maps and clusters."""
    first = tables[0]

    def joined(name: str) -> Any:
        return (
            None if getattr(first, name) is None else _concatenated([getattr(each, name) for each in tables])
        )

    return LatentTable(
        _concatenated([table.ids for table in tables]),
        _concatenated([table.latents for table in tables]),
        joined("split"),
        joined("labels"),
        errors=joined("errors"),
        columns={name: _concatenated([each.columns[name] for each in tables]) for name in first.columns},
        read_from=first.read_from,
    )


def _concatenated(values: list) -> np.ndarray:
    if any(np.ma.is_masked(each) for each in values):
        return np.ma.concatenate(values)
    return np.concatenate([np.asarray(each) for each in values])


def _labelled(table: LatentTable, name: str | None) -> LatentTable:
    known = [*(["label"] if table.labels is not None else []), *table.columns]
    if name is None or name in known:
        return table if name is None else table.with_labels(name)
    raise OptionError(
        "labels must be a column of the parts",
        f"{printable(name, 60)!r}, and the columns {printable(', '.join(known)) or '(none)'}",
        "Check the spelling; a file of labels is joined to them by caescope encode --labels.",
    )


def _form(table: LatentTable) -> tuple[str, ...]:
    """Return in words what all parts must have in common."""
    has = [name for name in ("split", "labels", "errors") if getattr(table, name) is not None]
    labels = "no labels" if table.labels is None else f"labels that are {KINDS[table.labels.dtype.kind]}"
    return (
        f"{table.latents.shape[1]} latents",
        f"the columns {printable(', '.join([*has, *sorted(table.columns)])) or '(none)'}",
        labels,
    )
