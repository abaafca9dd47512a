"""Opening the files of a model folder, which may come from a stranger."""

import os
from pathlib import Path
from stat import S_ISREG
from typing import IO

from caescope.errors import FileFormatError

AGAIN = "Check where the folder comes from, or save the model again."
# Without these, opening a pipe waits for a writer, and a link could take the file's place at the last moment
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))


def open_member(path: str | os.PathLike) -> IO[bytes]:
    """Open a regular file that lies in the folder of ``path``; the folder itself may be a link.

    Raises
    ------
    FileFormatError
        If it is missing, no regular file, a link that leads out of the folder, or has holes instead of data.
    """
    path = Path(path)
    try:
        target = _resolve(path)
        handle = os.open(target, os.O_RDONLY | _FLAGS)
    except (OSError, RuntimeError) as error:  # RuntimeError is a circle of links, before Python 3.13
        reason = getattr(error, "strerror", None) or "a circle of links"
        raise FileFormatError(f"{path} must be a file that can be read", reason, AGAIN) from error
    try:
        _demand_data(path, os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _resolve(path: Path) -> Path:
    """Return where the file really lies, in the folder or below it."""
    target = path.resolve(strict=True)
    if not target.is_relative_to(path.parent.resolve()):
        raise FileFormatError(f"{path} must lie in the model folder", "a link that leads out of it", AGAIN)
    if not target.is_file():  # before it is opened, which some devices notice
        raise FileFormatError(f"{path} must be a regular file", "something else", AGAIN)
    return target


def _demand_data(path: Path, facts: os.stat_result) -> None:
    """Refuse what is no regular file, and one that claims much more than it takes up on the disk."""
    if not S_ISREG(facts.st_mode):
        raise FileFormatError(f"{path} must be a regular file", "something else", AGAIN)
    on_disk = 512 * getattr(facts, "st_blocks", 0)  # some file systems do not tell, and say 0
    if on_disk and facts.st_size > 16 * on_disk + 2**20:  # file systems that compress win less with weights
        received = f"{facts.st_size:,} bytes of which {on_disk:,} are there"
        raise FileFormatError(f"{path} must be whole", received, AGAIN)


def read_member(path: str | os.PathLike, limit: int) -> bytes:
    """Return the content of a small file of a model folder.

    Raises
    ------
    FileFormatError
        As in `open_member`, or if it is longer than ``limit`` bytes.
    """
    with open_member(path) as file:
        content = file.read(limit + 1)
    if len(content) <= limit:
        return content
    raise FileFormatError(
        f"{path} must hold at most {limit // 2**10} KiB", "more than that", "Save the model again."
    )
