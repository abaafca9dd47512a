"""Where the state of a training is kept."""

import math
import os
from pathlib import Path

from caescope.errors import OptionError

FILE = "training.npz"


class Checkpoint:
    """Where the state of a training is kept, and how often.

    Parameters
    ----------
    folder : path-like
        Of its own; made where it is missing.
    seconds : float, at least 0
        A batch that ends so long after the last writing is followed by one; 0 writes after every batch. What
        was learned since is lost at most when the process is killed.

    Raises
    ------
    OptionError
        If ``seconds`` is no such number.
    """

    def __init__(self, folder: str | os.PathLike, seconds: float = 60.0):
        if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            raise OptionError(
                "seconds must be a number of at least 0", f"seconds={seconds!r}", "Use 60, the default."
            )
        self.folder, self.seconds = Path(folder), seconds

    def asked(self) -> int:
        """Return the signal by which another process asked training to stop, or 0."""
        return 0

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE
