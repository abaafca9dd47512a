"""Files that all workers must see: which they are, and whose absence explains what went wrong."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caescope.data.fetching import cache_folder
from caescope.errors import OptionError


def files_of(images: Any) -> tuple[str, ...]:
    """Return the files and folders of this machine that a source reads, absolute; an array has none."""
    paths = [getattr(images, "root", None), getattr(getattr(images, "stack", None), "path", None)]
    paths += [planned.slide.path for planned in getattr(images, "slides", ())]
    local = [os.path.abspath(path) for path in paths if isinstance(path, (str, os.PathLike))]
    return tuple(path for path in local if not Path(path).is_relative_to(cache_folder()))


@contextmanager
def demand_seen(files: Sequence[str]) -> Iterator[None]:
    """Say of whatever goes wrong inside that one of the files is not there, where that is so.

    Raises
    ------
    OptionError
        Naming the file and the machine.
    """
    try:
        yield
    except Exception as error:
        unseen = next((path for path in files if not os.path.exists(path)), None)
        if unseen is None:
            raise
        raise OptionError(
            "Workers must see the files of the images",
            f"no {unseen} on {socket.gethostname()}",
            "Put them on a disk that all machines share, under the same path, or on object storage.",
        ) from error
