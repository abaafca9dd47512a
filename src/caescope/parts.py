"""Latents in parts: a folder such as ``latents.parquet/`` that several processes write and read.

It holds ``part-000000000000.parquet`` and so on, each with the columns of latents.parquet and named by the
number of its first image; and ``_SUCCESS``, written last, a JSON object with the format's version, the number
of images, and name and number of images of each part. Names that start with ``_`` or ``.`` are no parts, so
that whoever reads a folder of Parquet files reads the parts alone.

Another version is needed where a reader of this one would read something wrong; then FORMAT_VERSION goes up,
and `open_parts` says what older ones mean.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from caescope.data.parquet import read_parquet
from caescope.errors import FileFormatError, InputError
from caescope.files import decoding, printable, shown
from caescope.storage import Place, find_place, is_remote
from caescope.table import LatentTable, table_from

FORMAT_VERSION = 1
SUCCESS = "_SUCCESS"
PART = re.compile(r"part-(\d{12})\.parquet")


@dataclass(frozen=True)
class LatentParts:
    """A whole folder of latents in parts; `open_parts` makes it.

    Attributes
    ----------
    place : Place
        The folder.
    files : tuple of str
        Names of the parts, in the order of their images.
    counts : tuple of int
        How many images each has.
    """

    place: Place
    files: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.counts)

    def __repr__(self) -> str:
        return f"LatentParts({str(self.place)!r}, {len(self):,} images in {len(self.files):,} parts)"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.place.name

    @property
    def starts(self) -> tuple[int, ...]:
        """The number of the first image of each part."""
        return tuple(accumulate(self.counts[:-1], initial=0))

    def read(self, i: int, may_lack_latents: bool = False) -> LatentTable:
        """Return one part.

        Parameters
        ----------
        i : int
            Which of the parts.
        may_lack_latents : bool
            As in `caescope.table.read_latents`.

        Raises
        ------
        FileFormatError
            If it is damaged, or has another number of images than the folder says.
        """
        part = self.place / self.files[i]
        return table_from(self._read(i), str(part), may_lack_latents, is_part=True)

    def join(self, may_lack_latents: bool = False) -> LatentTable:
        """Return all parts as one table, which needs memory for all of them.

        Raises
        ------
        FileFormatError
            If a part is damaged, or has other columns than the first one.
        """
        tables = [self._read(i) for i in range(len(self.files))]
        for file, table in zip(self.files, tables, strict=True):
            _demand_columns(self.place / file, table, tables[0])
        return table_from(pa.concat_tables(tables), str(self.place), may_lack_latents)

    def _read(self, i: int) -> pa.Table:
        part = self.place / self.files[i]
        table = _read(part)
        if len(table) == self.counts[i]:
            return table
        raise FileFormatError(
            f"{part} must hold the {self.counts[i]:,} images that {SUCCESS} says",
            f"{len(table):,}",
            "Fetch the folder again, or write it again with --overwrite.",
        )


def is_parts(path: str | os.PathLike) -> bool:
    """Tell whether a path is a folder of latents in parts, whole or not."""
    if not is_remote(path) and not os.path.isdir(path):
        return False
    return any(is_of_parts(name) for name in find_place(path).names())


def is_of_parts(name: str) -> bool:
    """Tell whether a file's name is one of those that the format gives.

    >>> is_of_parts("part-000000000064.parquet"), is_of_parts("_SUCCESS"), is_of_parts("run.yaml")
    (True, True, False)
    """
    return name == SUCCESS or PART.fullmatch(name) is not None


def open_parts(path: str | os.PathLike) -> LatentParts:
    """Return what a folder of latents in parts holds, without reading the parts.

    Parameters
    ----------
    path : path-like
        A folder, or the address of one on object storage.

    Raises
    ------
    FileFormatError
        If it is not whole: no ``_SUCCESS``, a part is missing, or they do not add up.
    """
    place = find_place(path)
    names = set(place.names()) if is_remote(path) or os.path.isdir(path) else set()
    if SUCCESS not in names:
        raise FileFormatError(
            f"{shown(path)} must be a whole folder of latents in parts",
            f"an unfinished one, without {SUCCESS}" if names else "no such folder",
            "Ask for the same encoding again, which goes on with it, or check the path.",
        )
    files, counts = _read_success(place / SUCCESS)
    if missing := [file for file in files if file not in names]:
        raise FileFormatError(
            f"{shown(path)} must hold all {len(files):,} parts that {SUCCESS} lists",
            f"{len(files) - len(missing):,}, without {missing[0]}",
            "Fetch it again, or write it again with --overwrite.",
        )
    return LatentParts(place, files, counts)


def part_name(first: int) -> str:
    """Return the name of the part whose first image has this number.

    >>> part_name(8192)
    'part-000000008192.parquet'
    """
    return f"part-{first:012d}.parquet"


def write_success(place: Place, counts: Sequence[int]) -> None:
    """Say that all parts are there, each with so many images."""
    starts = accumulate(counts[:-1], initial=0)
    parts = [[part_name(start), count] for start, count in zip(starts, counts, strict=True)]
    record = {"format_version": FORMAT_VERSION, "images": sum(counts), "parts": parts}
    (place / SUCCESS).write_bytes(json.dumps(record).encode())


def _demand_columns(part: Place, table: pa.Table, first: pa.Table) -> None:
    ours, theirs = ({(field.name, str(field.type)) for field in each.schema} for each in (table, first))
    if others := sorted(name for name, _ in ours ^ theirs):
        raise FileFormatError(
            f"{part} must have the columns of the first part",
            f"a difference in {printable(', '.join(dict.fromkeys(others)))}",
            "Write the folder again with --overwrite.",
        )


def _read(part: Place) -> pa.Table:
    """Read a part by the reader of Parquet files, which wants a file of this machine."""
    if not is_remote(str(part)):
        return read_parquet(str(part))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, part.name)
        copy.write_bytes(part.read_bytes())
        try:
            return read_parquet(copy)
        except InputError as error:
            raise type(error)(*(text.replace(str(copy), str(part)) for text in error.args)) from error


def _read_success(place: Place) -> tuple[tuple[str, ...], tuple[int, ...]]:
    with decoding(str(place), "the list of a folder's parts"):
        record = json.loads(place.read_bytes())
        _demand_version(record)
        files, counts = [file for file, _ in record["parts"]], [count for _, count in record["parts"]]
        if not all(type(count) is int and count > 0 for count in counts) or record["images"] != sum(counts):
            raise ValueError("numbers of images that do not add up")
        if files != _expected(counts):
            raise ValueError("names of parts that do not follow from their numbers of images")
        return tuple(files), tuple(counts)


def _expected(counts: Iterable[int]) -> list[str]:
    return [part_name(start) for start in [*accumulate(counts, initial=0)][:-1]]


def _demand_version(record: Any) -> None:
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version!r}, where {FORMAT_VERSION} is known")
