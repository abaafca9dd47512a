"""Notes in the formats of other programs."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from caescope.explorer.content import Content

FORMULA = re.compile(r"^[=+\-@\t\r]")  # what a spreadsheet takes for the start of one


def notes_table(content: Content) -> pa.Table:
    """Return one row for each image: id, label, cluster and its name, tags and remarks, joined by ``; ``."""
    table, notes = content.collection.table, content.notes.read()
    columns: dict[str, pa.Array] = {"id": pa.array(table.ids)}
    for name in ("label", "cluster"):
        values = table.column(name)
        if values is not None:
            columns[name] = pa.array(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
    if table.clusters is not None:
        columns["cluster_name"] = pa.array([notes["clusters"].get(str(i)) for i in table.clusters.tolist()])
    columns["tags"] = _joined(len(table), [(tag["name"], tag["rows"]) for tag in notes["tags"]])
    columns["remarks"] = _joined(len(table), [(item["text"], item["rows"]) for item in notes["remarks"]])
    return pa.table(columns)


def _joined(n_rows: int, items: list[tuple[str, list[int]]]) -> pa.Array:
    said: dict[int, list[str]] = {}
    for text, rows in items:
        for row in rows:
            said.setdefault(row, []).append(text)
    return pa.array(["; ".join(said[row]) if row in said else None for row in range(n_rows)], pa.string())


def _as_csv(content: Content) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(_without_formulas(notes_table(content)), sink)
    return sink.getvalue().to_pybytes()


def _without_formulas(table: pa.Table) -> pa.Table:
    """Put an apostrophe before texts that a spreadsheet would run as a formula."""
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = (None if text is None else FORMULA.sub(r"'\g<0>", text) for text in table[i].to_pylist())
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table


def _as_parquet(content: Content) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(notes_table(content), sink)
    return sink.getvalue().to_pybytes()


def _as_geojson(content: Content) -> bytes:
    """Return the tiles as GeoJSON with the names of clusters; of several slides as a ZIP archive of files."""
    from caescope.exporting.geojson import write_geojson

    names = {int(cluster): name for cluster, name in content.notes.read()["clusters"].items()}
    with TemporaryDirectory() as folder:
        written = write_geojson(content.collection.table, folder, names=names)
        return written[0].read_bytes() if len(written) == 1 else _zipped(written)


def _zipped(files: list[Path]) -> bytes:
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as target:
        for file in files:
            target.write(file, file.name)
    return archive.getvalue()


def file_name(name: str, content: bytes) -> str:
    """Return what to save an export as.

    >>> file_name("notes.geojson", b"PK..."), file_name("notes.csv", b"id")
    ('notes.geojson.zip', 'notes.csv')
    """
    return f"{name}.zip" if content.startswith(b"PK") else name


EXPORTS: dict[str, Callable[[Content], bytes]] = {
    "notes.csv": _as_csv,
    "notes.parquet": _as_parquet,
    "notes.geojson": _as_geojson,
}
