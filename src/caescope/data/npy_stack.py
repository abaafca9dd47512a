"""Images in an NPY file that stay there."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caescope.data.arrays import read_npy_header
from caescope.data.mapped import MappedSource
from caescope.files import decoding


@dataclass(frozen=True)
class NpyStack:
    """The images of an NPY file, read by position.

    The file is not mapped into memory: mapped pages count as the process's own, and a file that shrinks while
    it is mapped ends the process.

    Parameters
    ----------
    path : pathlib.Path
    shape : tuple of int
    dtype : numpy.dtype
    offset : int, bytes
        Where the first image starts.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    together = 1

    def read(self, rows: slice) -> np.ndarray:
        """Return the images from ``rows.start`` to ``rows.stop``."""
        images = np.empty((rows.stop - rows.start, *self.shape[1:]), self.dtype)
        with decoding(self.path, "an NPY file"), self.path.open("rb") as file:
            file.seek(self.offset + int(rows.start) * images[:1].nbytes)
            if file.readinto(images.reshape(-1).view(np.uint8)) != images.nbytes:  # pyright: ignore
                raise EOFError("fewer bytes than announced")
        return images


def find_npy(path: str | os.PathLike) -> MappedSource | None:
    """Return the images of an NPY file, which stay there; None where it must be read as a whole.

    That is so unless they are uint8 or floats, in C order.

    Raises
    ------
    DataError, FileFormatError
        As in `caescope.data.load_npy` and `caescope.images.parse_images`.
    """
    header = read_npy_header(path)
    if header.fortran_order or not (header.dtype == np.uint8 or header.dtype.kind == "f"):
        return None
    return MappedSource(NpyStack(Path(path), header.shape, header.dtype, header.offset))
