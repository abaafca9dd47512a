"""Folders that appear as a whole or not at all, written by one process at a time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from caescope.errors import InputError, OptionError, OutputError, TrainingError
from caescope.storage import local_path
from caescope.writing import move_into_place, put_back, writing

CHECKPOINT = "checkpoint"  # the folder of an unfinished output that makes it worth to be kept
KEPT = (CHECKPOINT, "logs")  # what of it is gone on with


def demand_new(out: object, is_there: bool, overwrite: bool) -> None:
    """Refuse to replace an output that is there already, unless that is asked for.

    Raises
    ------
    OptionError
    """
    if is_there and not overwrite:
        raise OptionError(
            "The output must be new", f"{out}, which exists", "Give another name, or --overwrite."
        )


class OutputFolder:
    """A folder that is to be written, and may be there already.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Whether an earlier output may be replaced, and an unfinished one be forgotten.
    resume : bool
        Whether an unfinished output is gone on with; an earlier one that is whole may be there then.
    mark : str
        A file that an earlier output holds, so that it is known to be ours.

    Raises
    ------
    OptionError
        If the folder may not be written. An empty one always may.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        overwrite: bool = False,
        resume: bool = False,
        mark: str = "run.yaml",
    ):
        self.path, self.overwrite, self.resume, self.mark = local_path(path), overwrite, resume, mark
        self._demand_free(may_be_whole=self.is_done)

    @property
    def target(self) -> Path | str:
        """Where the output is in the end: the path, or a URL."""
        return self.path

    @property
    def is_whole(self) -> bool:
        """Whether an earlier output is there."""
        return (self.path / self.mark).is_file()

    @property
    def is_unfinished(self) -> bool:
        """Whether an output was begun and is worth to be gone on with."""
        return (self._partial / CHECKPOINT).is_dir()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to be gone on with, because all of it is there."""
        return self.resume and self.is_whole and not self.is_unfinished

    @property
    def _partial(self) -> Path:
        """Where the content is gathered until it is whole."""
        path = self.path.resolve()
        return path.with_name(f".{path.name}.partial")

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a folder that takes the place of this one when all went well, and vanishes otherwise.

        If it holds a folder CHECKPOINT, it stays when the work is interrupted, and is what ``resume`` yields.

        Raises
        ------
        OptionError
            If another process writes into the folder, or has done so.
        OutputError
            If the system does not let it be written.
        """
        with only_writer(self.path), _naming(self.path, self.path.resolve(), self._partial):
            path, partial = self.path.resolve(), self._partial
            put_back(path)
            self._demand_free()
            _clear(partial, KEPT if self.resume else ())
            partial.mkdir(exist_ok=True)
            with _kept_if_resumable(partial):
                yield partial
                shutil.rmtree(partial / CHECKPOINT, ignore_errors=True)
                move_into_place(partial, path)

    def _demand_free(self, may_be_whole: bool = False) -> None:
        if self.is_unfinished and not (self.overwrite or self.resume):
            raise OptionError(
                "The output folder must not have been begun before",
                f"{self.target}, which was begun and not finished",
                "Go on with it by --resume, begin anew by --overwrite, or give another folder.",
            )
        if self._is_free():
            return
        if not self.is_whole:
            raise OptionError(
                "The output folder must be new, empty or an earlier output",
                f"{self.target}, which holds something else",
                "Give another folder.",
            )
        if not (self.overwrite or may_be_whole):
            raise OptionError(
                "The output folder must be new or empty",
                f"{self.target}, which exists",
                "Give another folder, or --overwrite to replace it.",
            )

    def _is_free(self) -> bool:
        return not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir()))


def _clear(folder: Path, kept: tuple[str, ...]) -> None:
    """Remove what is in a folder but for some names, and the folder if nothing is kept."""
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _kept_if_resumable(partial: Path) -> Iterator[None]:
    """Remove an unfinished folder when the work inside fails, but for one that can be gone on with."""
    checkpoint = partial / CHECKPOINT
    is_resumed = checkpoint.is_dir()
    try:
        yield
    except (InputError, TrainingError):
        if not is_resumed:  # what was asked for cannot be done, and neither when it is gone on with
            shutil.rmtree(checkpoint, ignore_errors=True)
        raise
    except KeyboardInterrupt as stop:
        if checkpoint.is_dir():
            stop.add_note("What was done is kept: the same with --resume goes on from there.")
        raise
    finally:
        if not checkpoint.is_dir():
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Let no other process write to ``path`` meanwhile, or raise `OptionError` where one does already."""
    path = path.resolve()
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise OptionError(
                "An output must be written by one process at a time",
                f"{path}, which another process is writing",
                "Wait for it to end, or give another output.",
            ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)  # while it is held, so that nobody else's goes
        lock.release()


@contextmanager
def _naming(folder: Path, *written: Path) -> Iterator[None]:
    """Let an error of the system name the folder, where it is about what is written and not what is read."""
    try:
        yield
    except (OSError, OutputError) as error:
        about = getattr(error, "filename", None)
        if about is not None and not any(Path(os.fsdecode(about)).is_relative_to(p) for p in written):
            raise
        with writing(folder):
            raise
