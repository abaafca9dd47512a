"""Images whose reading does what files in a folder ask for, wherever the process is that reads."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caescope.data import ArraySource
from caescope.errors import DataError

CROSS = 500  # the image at which something happens


@dataclass(frozen=True, eq=False, repr=False)
class Hooked(ArraySource):
    """Images in memory; ``folder`` may hold files of the names slow, bad and deadly."""

    folder: Path = Path()

    def read(self, indices) -> np.ndarray:
        """Return images, or do what is asked for."""
        (self.folder / f"{os.getpid()}.pid").touch()
        is_crossed = CROSS in np.arange(len(self))[indices]
        if (self.folder / "slow").exists():
            time.sleep(0.05)
        if is_crossed and (self.folder / "bad").exists():
            raise DataError("Image 500 must be readable", "damage", "Write it again.")
        if is_crossed and (self.folder / "deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(indices)
