"""Parquet files, read by a process of its own that may crash or run out of memory instead of this one."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from caescope import isolation, parquet_tables
from caescope.files import existing_file
from caescope.parquet_tables import ARROW, CELLS, KIND


def read_parquet(path: str | os.PathLike) -> pa.Table:
    """Return a table as Arrow has it.

    Raises
    ------
    FileFormatError
        If there is no such file, it is damaged, or it would unpack to a multiple of its length.
    """
    return _read(existing_file(path), ARROW)


def read_columns(path: str | os.PathLike) -> dict[str, list]:
    """Return the cells of each column of a table of texts and numbers; equal texts are one object.

    Raises
    ------
    FileFormatError
        As in `read_parquet`, or if there are too many cells.
    """
    table = _read(existing_file(path), CELLS)
    return {name: _cells(table[name]) for name in table.column_names}


def _read(path: Path, how: str) -> pa.Table:
    if not isolation.can_isolate():
        return parquet_tables.read_table(str(path), how)
    most = parquet_tables.unpacked(path.stat().st_size)
    with isolation.reading(parquet_tables.__name__, str(path), how, None, most // 4) as process:
        isolation.receive_status(process, path, KIND)
        try:
            return pa.ipc.open_stream(process.stdout).read_all()
        except (pa.ArrowException, OSError) as error:  # cut off
            raise isolation.stopped(process, path, KIND) from error


def _cells(column: pa.ChunkedArray) -> list:
    """Return a column as Python has it, each text of a dictionary once however many rows have it."""
    if not pa.types.is_dictionary(column.type):
        return column.to_pylist()
    cells: list[Any] = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        cells += [None if i is None else words[i] for i in chunk.indices.to_pylist()]
    return cells
