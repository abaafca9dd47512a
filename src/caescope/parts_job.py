"""Parts of an output that is being written: those of an interrupted job are gone on with."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caescope.errors import FileFormatError, OptionError, OutputError
from caescope.parts import SUCCESS, is_of_parts
from caescope.staging import OutputFolder, demand_new, only_writer
from caescope.storage import Place, find_place, is_remote
from caescope.writing import move_into_place, put_back, write_atomically, writing

RECORD = "_job.json"  # in a folder of parts: what they were made of

Job = Mapping[str, str | int]


def demand_free(out: Any, overwrite: bool) -> None:
    """Refuse to write a folder of parts where something else is, or one that may not be replaced.

    Raises
    ------
    OptionError
    """
    if not is_remote(out):
        OutputFolder(out, overwrite, mark=SUCCESS)
        return
    names = find_place(out).names()
    demand_new(out, SUCCESS in names, overwrite)
    if names and not any(map(_is_ours, names)):
        raise OptionError(
            "The output folder must be new, empty or an earlier output",
            f"{out}, which holds something else",
            "Give another folder.",
        )


@contextmanager
def folder_of_parts(out: Any, job: Job) -> Iterator[Place]:
    """Yield where parts are to be written; those of the same job may be there, and no others.

    On a disk they are gathered in a hidden folder beside ``out``, which takes its place when all went well.
    On storage, where nothing can be renamed, they have their final names at once, and ``_SUCCESS`` tells that
    they are whole. A folder in which no part was finished vanishes.
    """
    with (
        _on_storage(find_place(out), job) if is_remote(out) else _on_disk(Path(out).absolute(), job) as place
    ):
        yield place


@contextmanager
def _on_disk(out: Path, job: Job) -> Iterator[Place]:
    with only_writer(out), kept_parts(out, job, RECORD) as folder:
        put_back(out)
        yield find_place(folder)
        for file in folder.iterdir():  # a process that was killed may have left half a part
            if not _is_ours(file.name):
                file.unlink()
        move_into_place(folder, out)


@contextmanager
def kept_parts(path: Path, job: Job, record: str) -> Iterator[Path]:
    """Yield the folder of this job's parts; those of another job are removed, and so is an empty folder."""
    parts = path.absolute().with_name(f".{path.name}.parts")
    try:
        with writing(path):
            if not _holds(parts / record, job):
                shutil.rmtree(parts, ignore_errors=True)
                write_atomically(parts / record, json.dumps(job).encode())
            yield parts
    finally:
        if not any(parts.glob("*.parquet")):
            shutil.rmtree(parts, ignore_errors=True)


def _holds(record: Path, job: Job) -> bool:
    try:
        return json.loads(record.read_text()) == job
    except (FileNotFoundError, ValueError):
        return False


@contextmanager
def _on_storage(place: Place, job: Job) -> Iterator[Place]:
    names = place.names()
    if SUCCESS in names or not _says(place / RECORD, job):
        _remove(place, names)
        (place / RECORD).write_bytes(json.dumps(job).encode())
    try:
        yield place
    finally:
        names = place.names()
        if names == [RECORD]:
            _remove(place, names)


def _says(record: Place, job: Job) -> bool:
    try:
        return json.loads(record.read_bytes()) == job
    except (FileFormatError, ValueError):
        return False


def _remove(place: Place, names: list[str]) -> None:
    """Remove an earlier output from storage, first what says that it is whole."""
    try:
        for name in sorted(filter(_is_ours, names), key=lambda name: name != SUCCESS):
            place.filesystem.delete_file((place / name).path)
    except OSError as error:
        raise OutputError(
            "The output must be writable", f"{place} ({error})", "Give a path that you may write to."
        ) from error


def _is_ours(name: str) -> bool:
    return name == RECORD or is_of_parts(name)
