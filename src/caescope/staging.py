"""Folders that appear as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caescope.errors import OptionError


def demand_free(folder: str | os.PathLike, overwrite: bool = False, mark: str = "run.yaml") -> Path:
    """Return ``folder`` as a path that may be written, or raise `OptionError`.

    An empty folder may always be written; one that is not must hold ``mark``, so that it is known to be ours,
    and be allowed to go by ``overwrite``.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return folder
    if not (folder / mark).is_file():
        raise OptionError(
            "The output folder must be new, empty or an earlier output",
            f"{folder}, which holds something else",
            "Give another folder.",
        )
    if not overwrite:
        raise OptionError(
            "The output folder must be new or empty",
            f"{folder}, which exists",
            "Give another folder, or --overwrite to replace it.",
        )
    return folder


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``folder`` when all went well, and vanishes otherwise."""
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise OptionError(
            "The output folder must be writable", f"{folder} ({error.strerror})", "Give another folder."
        ) from error
    try:
        yield partial
        _take_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, folder: Path) -> None:
    """Rename ``partial`` to ``folder``; what was there is set aside until the new one stands."""
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
