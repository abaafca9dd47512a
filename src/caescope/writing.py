"""Writing so that others see what was there before or all that is new, even after a power cut."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from caescope.errors import OutputError

ADVICE = {
    errno.ENOSPC: "Free some disk space, or write to another disk.",
    errno.EDQUOT: "Free some of your disk quota, or write to another disk.",
    errno.EROFS: "Give a path on a disk that is not read-only.",
    errno.EIO: "Check the disk, or write to another one.",
}


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever the system says against writing inside into an OutputError that names ``path``.

    Around another one it names what the user asked for, and not the hidden file on the way there.

    >>> with writing("a.txt"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    caescope.errors.OutputError: The output must be writable. Received a.txt (No space left ... Free some ...
    """
    try:
        yield
    except (OSError, OutputError) as error:
        cause: Any = error if isinstance(error, OSError) else error.__cause__
        reason = cause.strerror or str(cause) or type(cause).__name__
        advice = ADVICE.get(cause.errno or 0, "Give a path that you may write to.")
        raise OutputError("The output must be writable", f"{path} ({reason})", advice) from cause


def write_atomically(path: str | os.PathLike, content: bytes | memoryview) -> None:
    """Write a file so that others see all of it or what was there before.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with write_through(path) as file:
        file.write(content)


@contextmanager
def write_through(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of ``path`` when all went well, and vanishes otherwise."""
    with replacing(path) as new, open(new, "r+b") as file:
        yield file


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty file to write to, which takes the place of ``path`` when all went well.

    Raises
    ------
    OutputError
        If the system does not let it be written; what was at ``path`` is still there then.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb"):
                os.chmod(name, 0o666 & ~_umask())  # as any new file, so that colleagues can read it
            yield Path(name)
            sync(name)
            os.replace(name, path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                os.unlink(name)


def sync(path: str | os.PathLike) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until a folder is on the disk with all that is in it."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(place, name))
        sync(place)


def move_into_place(new: Path, folder: Path) -> None:
    """Let the folder ``new`` take the place of ``folder``, beside which it lies; what was there is removed.

    Others see the one or the other, where the system can exchange two folders; else there is a moment without
    either, and `put_back` mends what a crash then leaves.
    """
    sync_tree(new)
    if not folder.exists():
        os.rename(new, folder)
    elif not _exchange(new, folder):
        os.rename(folder, _aside(folder))
        try:
            os.rename(new, folder)
        except OSError:
            os.rename(_aside(folder), folder)
            raise
    sync(folder.parent)
    for old in (new, _aside(folder)):
        shutil.rmtree(old, ignore_errors=True)


def put_back(folder: Path) -> None:
    """Bring back a folder that was set aside for another, which then never came."""
    aside = _aside(folder)
    if not aside.is_dir():
        return
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        os.rename(aside, folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what two paths name, at once; return False where the system or the disk cannot."""
    if os.name == "nt":
        return False
    library, one_name, other_name = ctypes.CDLL(None, use_errno=True), os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        result = library.renameat2(here, one_name, here, other_name, exchange)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        result = library.renamex_np(one_name, other_name, 2)  # RENAME_SWAP
    else:
        return False
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _umask() -> int:
    """Return the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
