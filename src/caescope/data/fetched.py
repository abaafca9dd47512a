"""Images in a file that was copied from storage, for processes and machines that have no copy yet."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from caescope.data.fetching import StoredFile
from caescope.data.hdf5 import Hdf5Stack
from caescope.data.mapped import MappedSource, Stack
from caescope.data.npy_stack import find_npy

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class FetchedStack:
    """Images in the copy of a file; where this is unpickled, the file is copied if it has to be.

    Parameters
    ----------
    stack : Stack
        The images in the copy.
    stored : StoredFile
        What was copied.
    """

    stack: Stack
    stored: StoredFile

    def __reduce__(self):
        return _open_again, (self.stored,)

    @property
    def path(self):
        """The copy."""
        return self.stack.path

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, height, width) or (n, height, width, channels)."""
        return self.stack.shape

    @property
    def dtype(self) -> np.dtype:
        """uint8 or a float."""
        return self.stack.dtype

    @property
    def together(self) -> int:
        """How many images are stored, and so read, together."""
        return self.stack.together

    def read(self, rows: slice) -> np.ndarray:
        """Return the images from ``rows.start`` to ``rows.stop``."""
        return self.stack.read(rows)


def in_any_process(source: Opened, stored: StoredFile) -> Opened:
    """Return a source of the copy of a file so that it can be pickled; one in memory is so already."""
    if not isinstance(source, MappedSource):
        return source
    return replace(source, stack=FetchedStack(source.stack, stored))


def _open_again(stored: StoredFile) -> FetchedStack:
    copy = stored.fetch()
    with copy.open("rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    mapped = find_npy(copy) if is_npy else None
    return FetchedStack(mapped.stack if mapped else Hdf5Stack(copy), stored)
