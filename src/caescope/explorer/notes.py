"""What people say of clusters and images, kept in the folder of what is explored."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from caescope.errors import DataError
from caescope.files import decoding, read_bytes
from caescope.run_folder import NOTES
from caescope.staging import only_writer
from caescope.table import LatentTable
from caescope.writing import write_atomically

FORMAT_VERSION = 1
MOST_BYTES = 64 * 2**20
LONGEST_NAME, LONGEST_TEXT = 200, 10_000  # characters
Content = dict[str, Any]


class Notes:
    """Names of clusters, tags and remarks on images.

    The file holds ids, since rows may be others in the next table; outside of it notes speak of rows. Names
    of clusters are of one clustering: where clusters are found anew, they are put aside.

    Parameters
    ----------
    path : pathlib.Path
        A JSON file, which need not be there.
    table : LatentTable

    Raises
    ------
    FileFormatError
        If the file is there and holds something else.
    """

    def __init__(self, path: Path, table: LatentTable):
        self.path, self.table = path, table
        self._lock = Lock()
        self._content = self._from_file(read_notes(path))

    def read(self) -> Content:
        """Return the notes: ``revision``, ``clusters`` (names by cluster), ``tags`` and ``remarks``."""
        return self._content

    def write(self, content: Any) -> bool:
        """Put others in their place, all or nothing; return False where those were changed meanwhile.

        Raises
        ------
        DataError
            If they are no notes, or of rows that are not there.
        OptionError
            If another process is writing them.
        OutputError
            If the file cannot be written.
        """
        parsed = parse_notes(content, len(self.table), set(self._cluster_names()))
        with self._lock, only_writer(self.path):
            stored = read_notes(self.path)
            if stored["revision"] != self._content["revision"]:  # by another explorer of the same run
                self._content = self._from_file(stored)
            if content.get("revision") != self._content["revision"]:
                return False
            parsed["revision"] = self._content["revision"] + 1
            write_atomically(self.path, json.dumps(self._for_file(parsed), ensure_ascii=False).encode())
            self._content = parsed
        return True

    def _cluster_names(self) -> list[str]:
        clusters = self.table.clusters
        return [] if clusters is None else [str(i) for i in np.unique(clusters[clusters >= 0])]

    def _for_file(self, content: Content) -> Content:
        def named(item: Content) -> Content:
            given = {key: value for key, value in item.items() if key != "rows"}
            return {**given, "ids": self.table.ids[item["rows"]].tolist()}

        lists = {kind: [named(item) for item in content[kind]] for kind in ("tags", "remarks")}
        clustering = digest_of(self.table.clusters)
        return {"format_version": FORMAT_VERSION, **content, **lists, "clustering": clustering}

    def _from_file(self, stored: Content) -> Content:
        is_about_rows = stored["tags"] or stored["remarks"]
        row_of = {name: row for row, name in enumerate(self.table.ids.tolist())} if is_about_rows else {}

        def placed(item: Content) -> Content:
            given = {key: value for key, value in item.items() if key != "ids"}
            return {**given, "rows": [row_of[name] for name in item["ids"] if name in row_of]}

        lists = {kind: [placed(item) for item in stored[kind]] for kind in ("tags", "remarks")}
        is_same = stored["clustering"] == digest_of(self.table.clusters)
        names = stored["clusters"] if is_same else {}
        return {"revision": stored["revision"], "clusters": names, **lists}


def read_notes(path: Path) -> Content:
    """Return what a file of notes holds, with ids; empty notes where there is none.

    Raises
    ------
    FileFormatError
        If it holds something else.
    """
    empty = {"revision": 0, "clusters": {}, "tags": [], "remarks": [], "clustering": ""}
    if not path.is_file():
        return empty
    with decoding(path, "notes"):
        stored = json.loads(read_bytes(path, MOST_BYTES))
        _demand(isinstance(stored, dict) and stored.get("format_version") == FORMAT_VERSION, "another format")
        _demand(isinstance(stored.get("revision"), int), "no revision")
        _demand(isinstance(stored.get("clustering"), str), "no clustering")
        found = {**empty, **{name: stored[name] for name in empty if name in stored}}
        _parse_clusters(found["clusters"], None)
        for kind in ("tags", "remarks"):
            names = [name for item in _list_of(found[kind]) for name in _list_of(item.get("ids"))]
            _demand(all(isinstance(name, str) for name in names), "ids of another type")
        return found


def cluster_names(folder: Path, clusters: np.ndarray | None) -> dict[str, str]:
    """Return the names that clusters of a run folder were given, by cluster; none of other clusterings."""
    stored = read_notes(folder / NOTES)
    return stored["clusters"] if stored["clustering"] == digest_of(clusters) else {}


def digest_of(clusters: np.ndarray | None) -> str:
    """Return a text that tells one clustering from another."""
    return "" if clusters is None else sha256(clusters.astype("<i4").tobytes()).hexdigest()[:16]


def parse_notes(content: Any, n_rows: int, clusters: set[str] | None = None) -> Content:
    """Return notes as they are kept, without a revision.

    Parameters
    ----------
    content : any
        ``{"clusters": {cluster: name}, "tags": [{"name", "rows"}], "remarks": [{"text", "rows"}]}``. Rows
        are integers below ``n_rows``; empty names are left out; a remark without a time gets the present.
    n_rows : int
    clusters : set of str, optional
        Those that may have a name; any by default.

    Raises
    ------
    DataError
        If it is something else.

    Examples
    --------
    >>> parse_notes({"clusters": {"0": " stroma "}, "tags": [{"name": "odd", "rows": [2, 1, 2]}]}, 3)["tags"]
    [{'name': 'odd', 'rows': [1, 2]}]
    """
    try:
        _demand(isinstance(content, dict), f"a {type(content).__name__}")
        return {
            "clusters": _parse_clusters(content.get("clusters", {}), clusters),
            "tags": _parse_tags(_list_of(content.get("tags", [])), n_rows),
            "remarks": [_parse_remark(item, n_rows) for item in _list_of(content.get("remarks", []))],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "Notes must hold clusters, tags and remarks", str(error), "Reload the page, and try again."
        ) from error


def _parse_clusters(names: Any, known: set[str] | None) -> dict[str, str]:
    _demand(isinstance(names, Mapping), "clusters that are no mapping")
    parsed = {key: _text(name, LONGEST_NAME) for key, name in names.items()}
    unknown = set(parsed) - known if known is not None else set()
    _demand(not unknown, f"a name for a cluster that is not there: {sorted(unknown)[:1]}")
    return {key: name for key, name in parsed.items() if name}


def _parse_tags(items: list[Any], n_rows: int) -> list[Content]:
    tags = [{"name": _text(item["name"], LONGEST_NAME), "rows": _rows(item, n_rows)} for item in items]
    _demand(all(tag["name"] for tag in tags), "a tag without a name")
    _demand(len({tag["name"] for tag in tags}) == len(tags), "two tags of one name")
    return tags


def _parse_remark(item: Any, n_rows: int) -> Content:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text, time = _text(item["text"], LONGEST_TEXT), _text(item.get("time", now), 40)
    _demand(bool(text), "a remark without a text")
    return {"text": text, "time": time, "rows": _rows(item, n_rows)}


def _rows(item: Mapping, n_rows: int) -> list[int]:
    rows = _list_of(item["rows"])
    _demand(all(type(row) is int and 0 <= row < n_rows for row in rows), "rows that are not there")
    return sorted(set(rows))


def _text(value: Any, longest: int) -> str:
    _demand(isinstance(value, str) and len(value) <= longest, f"no text of at most {longest} characters")
    return value.strip()


def _list_of(value: Any) -> list[Any]:
    _demand(isinstance(value, list), "no list where one is expected")
    return value


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
