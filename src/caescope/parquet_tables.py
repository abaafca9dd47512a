"""Parquet tables, read in a process of its own, which `caescope.data.parquet` starts.

Its arguments are the file's name and how the table is wanted. After STARTED it answers ANSWERED and the table
as a stream of Arrow, or FAILED and the reason. Some damaged files let Arrow's library end the process, and a
few bytes of Parquet may stand for any number of rows, texts and pages.
"""

import io
import sys
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from caescope import isolation
from caescope.errors import FileFormatError
from caescope.files import decoding
from caescope.isolation import MEMORY

KIND = "a Parquet file"
CELLS, ARROW = "cells", "arrow"  # how a table is wanted: as texts and numbers to be listed, or as it is
ANSWERED = b"A"
MAX_CELLS = 2**25  # of a table that is listed: five million images and six columns
SMALL = 512 * 2**20  # bytes that may be unpacked from however few
MOST_UNPACKED = 8  # times as many bytes as the file has, where that is more
FILES = 4  # the standard three, and this one


def read_table(path: str, how: str) -> pa.Table:
    """Return a table; where it is to be listed, texts come as dictionaries, each once.

    Raises
    ------
    FileFormatError
        If it is damaged, or is to be listed and has too many cells.
    """
    with decoding(path, KIND):
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            facts, schema = file.metadata, file.schema_arrow
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("a column name that comes twice")
        if how == CELLS:
            _demand_few(path, facts)
        texts = [field.name for field in schema if how == CELLS and _is_text(field.type)]
        table = _read(path, texts)
        if len(table) != facts.num_rows:
            raise ValueError(f"{len(table)} rows, where {facts.num_rows} are declared")
        table.validate(full=True)
        return table.unify_dictionaries()


def _read(path: str, texts: list[str]) -> pa.Table:
    """Return all columns, these as dictionaries."""
    options: dict[str, Any] = {"memory_map": False, "pre_buffer": False}
    try:
        with pq.ParquetFile(path, read_dictionary=texts, **options) as file:
            return file.read(use_threads=False)
    except OSError:  # Arrow cannot do so for texts that are kept as their differences
        with pq.ParquetFile(path, **options) as file:
            table = file.read(use_threads=False)
    for name in texts:
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    return table


def _demand_few(path: str, facts: Any) -> None:
    cells = facts.num_rows * facts.num_columns
    if cells > MAX_CELLS:
        raise FileFormatError(
            f"{path} must hold at most {MAX_CELLS:,} cells", f"{cells:,}", "Leave out rows or columns."
        )


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def unpacked(size: int) -> int:
    """Return how many bytes a file of ``size`` bytes may become."""
    return max(SMALL, MOST_UNPACKED * size)


def main() -> None:
    """Read the table that the arguments name."""
    path, how = sys.argv[1:3]
    _get_ready()
    most = unpacked(Path(path).stat().st_size)
    isolation.limit(isolation.memory_now() + MEMORY // 4 + most, isolation.seconds_for(most // 4), FILES)
    isolation.answer_with(lambda answer: _send(read_table(path, how), path, answer))


def _send(table: pa.Table, path: str, answer: IO[bytes]) -> None:
    answer.write(ANSWERED)
    with decoding(path, KIND), pa.ipc.new_stream(answer, table.schema) as stream:
        stream.write_table(table)


def _get_ready() -> None:
    """Let Python and Arrow load what reading needs, as long as files can be opened."""
    one_text = [None, pa.py_buffer(bytes((0, 0, 0, 0, 1, 0, 0, 0))), pa.py_buffer(b"b")]
    column = pa.Array.from_buffers(pa.string(), 1, one_text)  # of Python's own texts pandas would make it
    content = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([column], names=["a"]), content)
    with pq.ParquetFile(io.BytesIO(content.getvalue())) as file:
        pa.ipc.new_stream(io.BytesIO(), file.read(use_threads=False).schema).close()
    isolation.get_ready()
