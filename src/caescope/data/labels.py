"""What is known about images, from a file: NPY, IDX, CSV, Parquet or plain text."""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caescope.data.arrays import load_npy
from caescope.data.idx import is_idx, load_idx
from caescope.data.parquet import read_columns
from caescope.data.sources import parse_columns, parse_labels
from caescope.errors import DataError, FileFormatError
from caescope.files import decoding, printable, read_bytes, read_head
from caescope.parquet_tables import MAX_CELLS

MAX_BYTES = 256 * 2**20
ID_COLUMNS = ("id", "path")
LINE_END = re.compile(r"\r\n|\r|\n")
INTEGER, FLOAT = r"0|-?[1-9][0-9]{0,17}", r"-?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?"


class Annotations(NamedTuple):
    """What a file says about each image: labels, if any, and other columns by name."""

    labels: np.ndarray | None
    columns: Mapping[str, np.ndarray]


def load_labels(path: str | os.PathLike, ids: np.ndarray) -> np.ndarray:
    """Read one label for each image.

    Parameters
    ----------
    path : path-like
        An NPY or IDX file; a ``.csv`` or ``.parquet`` file with a column ``label`` and, unless its rows are
        in the images' order, a column ``id`` or ``path``; or a ``.txt`` file with one label in each line.
    ids : numpy.ndarray of str, shape (n_images,)
        The images' names, which the column ``id`` or ``path`` is matched to.

    Returns
    -------
    numpy.ndarray, shape (n_images,)
        Texts that are all integers become integers. Where a label is missing (an empty cell or line) the
        array is masked.

    Raises
    ------
    DataError
        If there are more or fewer labels than images, or an image is not in the file.
    FileFormatError
        If there is no such file or it is none of these.
    """
    found = load_annotations(path, ids)
    if found.labels is None:
        raise _no_column(path, "a column label", found.columns)
    return found.labels


def load_annotations(
    path: str | os.PathLike, ids: np.ndarray, slides: np.ndarray | None = None
) -> Annotations:
    """Read labels and, from CSV and Parquet files, every other column: slide, patient, scanner.

    Parameters
    ----------
    path, ids
        As in `load_labels`; a table may lack the column ``label``.
    slides : numpy.ndarray, shape (n_images,), optional
        The slide of each image. A table with a column ``slide`` and neither ``id`` nor ``path`` has a row for
        each slide, and what it says holds for all images of it.

    Raises
    ------
    DataError, FileFormatError
        As `load_labels`; a table must have at least one column beside the images' names.
    """
    head = read_head(path)
    if head.startswith(b"\x93NUMPY"):
        return Annotations(parse_labels(load_npy(path), len(ids)), {})
    if is_idx(head):
        return Annotations(parse_labels(load_idx(path), len(ids)), {})
    if head.startswith(b"PAR1"):
        return _from_table(path, read_columns(path), ids, slides)
    return _load_text(Path(path), ids, slides)


def _load_text(path: Path, ids: np.ndarray, slides: np.ndarray | None) -> Annotations:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in ("csv", "txt"):
        raise FileFormatError(
            f"{path} must be a file of labels",
            "another kind",
            "Labels are read from NPY, IDX, Parquet, .csv and .txt files.",
        )
    if suffix == "csv":
        return _from_table(path, read_csv(path), ids, slides)
    text = read_text(path)
    _demand_few(path, text.count("\n"))
    return Annotations(parse_labels(_to_numbers(text.splitlines()), len(ids)), {})


def read_text(path: str | os.PathLike) -> str:
    """Return the content of a small file of UTF-8 text, gunzipped where it is gzipped."""
    with decoding(path, "UTF-8 text"):
        return read_bytes(path, MAX_BYTES).decode("utf-8-sig")


def read_csv(path: str | os.PathLike) -> dict[str, list[str]]:
    """Return the cells of each column, stripped."""
    text = read_text(path)
    _demand_few(path, sum(map(text.count, ",\n\r")))
    with decoding(path, "a CSV table"):
        rows = (row for row in csv.reader(_lines(text), strict=True) if row)
        names = [name.strip() for name in next(rows, [])]
        columns: list[list[str]] = [[] for _ in names]
        ragged = next((i for i, row in enumerate(rows, start=2) if not _append(row, columns)), None)
    if ragged or len(set(names)) < len(names):
        raise FileFormatError(
            f"{path} must be a table with all rows of one length and a name of its own for each column",
            f"row {ragged} of another length" if ragged else "a name that comes twice",
            "Name the columns in the first row: label, and id or path to match the images.",
        )
    return dict(zip(names, columns, strict=True))


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text one by one; StringIO would take four bytes for each letter."""
    start = 0
    while start < len(text):
        found = LINE_END.search(text, start)
        end = found.end() if found else len(text)
        yield text[start:end]
        start = end


def _append(row: list[str], columns: list[list[str]]) -> bool:
    """Add a row's cells to the columns, if it has as many."""
    if len(row) != len(columns):
        return False
    for cell, column in zip(row, columns, strict=True):
        column.append(cell.strip())
    return True


def _demand_few(path: str | os.PathLike, cells: int) -> None:
    if cells > MAX_CELLS:
        raise FileFormatError(
            f"{path} must hold at most {MAX_CELLS:,} cells", f"about {cells:,}", "Leave out rows or columns."
        )


def _from_table(
    path: str | os.PathLike, table: Mapping[str, list], ids: np.ndarray, slides: np.ndarray | None
) -> Annotations:
    key = next((name for name in ID_COLUMNS if name in table), None)
    if key is None and slides is not None and "slide" in table:
        key, ids = "slide", np.asarray(slides)
    known = [name for name in table if name not in (*ID_COLUMNS, key)]
    if not known:
        raise _no_column(path, "a column label, or others beside the images' names", table)
    order = None if key is None else _match(path, [str(name).strip() for name in table[key]], ids)
    columns: dict[str, Any] = {}
    for name in known:
        cells = _to_numbers(table[name])
        columns[name] = cells if order is None else [cells[row] for row in order]
    labels = columns.pop("label", None)
    n_images = len(ids)
    return Annotations(
        None if labels is None else parse_labels(labels, n_images), parse_columns(columns, n_images)
    )


def _match(path: str | os.PathLike, names: list[str], ids: np.ndarray) -> list[int]:
    """Return the table's row of each image."""
    row_of = {name: row for row, name in enumerate(names)}
    twice = len(names) - len(row_of)
    missing = [name for name in ids.tolist() if name not in row_of]
    if missing or twice:
        raise DataError(
            f"{path} must name every image, and no image twice",
            f"{len(missing)} of {len(ids)} images missing{', for example ' + missing[0] if missing else ''}, "
            f"{twice} rows that repeat a name",
            f"The images' names look like {ids[0]}.",
        )
    return [row_of[name] for name in ids.tolist()]


def _to_numbers(cells: list) -> list:
    """Turn texts into None where they are empty, and into numbers where all of them are and lose nothing.

    >>> _to_numbers(["3", "", "-1"]), _to_numbers(["007", "1"]), _to_numbers(["0.5", "2"])
    ([3, None, -1], ['007', '1'], [0.5, 2.0])
    """
    cells = [(cell.strip() or None) if isinstance(cell, str) else cell for cell in cells]
    texts = [cell for cell in cells if cell is not None]
    if not all(isinstance(text, str) for text in texts):
        return cells
    for form, kind in ((INTEGER, int), (FLOAT, float)):
        if texts and all(re.fullmatch(form, text) for text in texts):
            has_zeros = kind is float and any(re.match(r"-?0[0-9]", text) for text in texts)
            return cells if has_zeros else [None if cell is None else kind(cell) for cell in cells]
    return cells


def _no_column(path: str | os.PathLike, what: str, columns) -> FileFormatError:
    return FileFormatError(
        f"{path} must be a table with {what}",
        f"the columns {printable(', '.join(map(str, columns))) or '(none)'}",
        "Name the columns in the first row: label, and id or path to match the images.",
    )
