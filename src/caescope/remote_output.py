"""A model folder on storage, gathered on this machine's disk until it is whole."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caescope.data.fetching import cache_folder
from caescope.model.persistence import FILES
from caescope.staging import OutputFolder
from caescope.storage import find_place, is_remote


class RemoteOutput(OutputFolder):
    """A model folder on storage: its files are put there when all of them are done, ``mark`` last.

    What it is made of is gathered in the cache; with it are checkpoints, so that ``resume`` goes on with work
    that was interrupted on the same machine.

    Parameters
    ----------
    url : str or path-like
    overwrite, resume, mark
        As in `OutputFolder`.

    Raises
    ------
    OptionError
        If the folder may not be written.
    DataError, FileFormatError
        If storage does not answer, or there is no such bucket.
    """

    def __init__(
        self,
        url: str | os.PathLike,
        overwrite: bool = False,
        resume: bool = False,
        mark: str = "params.yaml",
    ):
        self.place = find_place(url)
        digest = hashlib.sha256(str(self.place).encode()).hexdigest()[:32]
        super().__init__(cache_folder() / digest / "output", overwrite, resume, mark)

    @property
    def target(self) -> str:
        """The folder's URL."""
        return str(self.place)

    @property
    def is_whole(self) -> bool:
        """Whether an earlier output is there."""
        return (self.place / self.mark).exists()

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a folder on the disk whose files are put on storage when all went well.

        Raises
        ------
        OptionError
            If another process of this machine writes into the folder, or it has been written since.
        OutputError
            If it cannot be written.
        """
        with super().staged() as partial:
            yield partial
            self._put(partial)
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _put(self, folder: Path) -> None:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        for name in sorted(names, key=lambda name: name == self.mark):
            (self.place / name).write_bytes((folder / name).read_bytes())

    def _is_free(self) -> bool:
        names = self.place.names()
        if names and (self.resume or self.overwrite):
            return set(names) < set(FILES) and self.mark not in names  # an earlier one that was not all put
        return not names and not self.place.exists()


def output_folder(
    path: str | os.PathLike, overwrite: bool = False, resume: bool = False, mark: str = "params.yaml"
) -> OutputFolder:
    """Return a folder that is to be written, on this machine's disk or on storage; see `OutputFolder`."""
    kind = RemoteOutput if is_remote(path) else OutputFolder
    return kind(path, overwrite, resume, mark)
