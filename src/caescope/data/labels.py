"""Labels from a file: NPY, IDX, CSV or plain text."""

import csv
import os
import re
from io import StringIO
from pathlib import Path

import numpy as np

from caescope.data.arrays import load_npy
from caescope.data.idx import is_idx, load_idx
from caescope.data.sources import parse_labels
from caescope.errors import DataError, FileFormatError
from caescope.files import decoding, printable, read_bytes, read_head

MAX_BYTES = 256 * 2**20
ID_COLUMNS = ("id", "path")


def load_labels(path: str | os.PathLike, ids: np.ndarray) -> np.ndarray:
    """Read one label for each image.

    Parameters
    ----------
    path : path-like
        An NPY or IDX file; a ``.csv`` file with a column ``label`` and, unless its rows are in the images'
        order, a column ``id`` or ``path``; or a ``.txt`` file with one label in each line.
    ids : numpy.ndarray of str, shape (n_images,)
        The images' names, which the column ``id`` or ``path`` is matched to.

    Returns
    -------
    numpy.ndarray, shape (n_images,)
        Texts that are all integers become integers.

    Raises
    ------
    DataError
        If there are more or fewer labels than images, or an image is not in the file.
    FileFormatError
        If there is no such file or it is none of these.
    """
    head = read_head(path)
    if head.startswith(b"\x93NUMPY"):
        labels = load_npy(path)
    elif is_idx(head):
        labels = load_idx(path)
    else:
        labels = _load_text(Path(path), ids)
    return parse_labels(labels, len(ids))


def _load_text(path: Path, ids: np.ndarray) -> np.ndarray:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in ("csv", "txt"):
        raise FileFormatError(
            f"{path} must be a file of labels",
            "another kind",
            "Labels are read from NPY, IDX, .csv and .txt files.",
        )
    with decoding(path, "UTF-8 text"):
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    labels = text.splitlines() if suffix == "txt" else _parse_csv(path, text, ids)
    if len(labels) == len(ids) and "" in (stripped := [label.strip() for label in labels]):
        raise DataError(
            f"Every label in {path} must have a text",
            f"none for image {ids[stripped.index('')]}",
            "Write for example 'unknown'.",
        )
    return _to_integers([label.strip() for label in labels])


def _parse_csv(path: Path, text: str, ids: np.ndarray) -> list[str]:
    """Return the column ``label``, in the order of ``ids`` where the table names the images."""
    with decoding(path, "a CSV table"):
        header, *rows = [row for row in csv.reader(StringIO(text, newline=""), strict=True) if row] or [[]]
    columns = {name.strip(): i for i, name in enumerate(header)}
    ragged = next((i for i, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if "label" not in columns or ragged:
        raise FileFormatError(
            f"{path} must be a table with a column label, all rows of one length",
            f"row {ragged} of another length" if ragged else f"the columns {printable(', '.join(columns))}",
            "Name the columns in the first row: label, and id or path to match the images.",
        )
    labels = [row[columns["label"]] for row in rows]
    key = next((columns[name] for name in ID_COLUMNS if name in columns), None)
    return labels if key is None else _match(path, [row[key].strip() for row in rows], labels, ids)


def _match(path: Path, names: list[str], labels: list[str], ids: np.ndarray) -> list[str]:
    label_of = dict(zip(names, labels, strict=True))
    twice = len(names) - len(label_of)
    missing = [name for name in ids.tolist() if name not in label_of]
    if missing or twice:
        raise DataError(
            f"{path} must name every image, and no image twice",
            f"{len(missing)} of {len(ids)} images missing{', for example ' + missing[0] if missing else ''}, "
            f"{twice} rows that repeat a name",
            f"The images' names look like {ids[0]}.",
        )
    return [label_of[name] for name in ids.tolist()]


def _to_integers(labels: list[str]) -> np.ndarray:
    """Turn texts into integers where nothing is lost by that: '007' stays a text."""
    integral = all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", label) for label in labels)
    return np.array(labels, dtype=np.int64 if integral else np.str_)
