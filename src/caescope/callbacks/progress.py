"""How far training has come, for people."""

import sys
from typing import TextIO

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from caescope.callbacks.base import Callback
from caescope.errors import OptionError
from caescope.progress import plain_console

MAX_LINES = 20


class Progress(Callback):
    """Show the epochs: as a bar where there is a terminal, else as lines.

    Parameters
    ----------
    verbose : {"auto", 1, 2}
        "auto" and 1 draw a bar on a terminal, and elsewhere print at most 20 lines; 2 prints a line for every
        epoch.
    file : text file, optional
        Where to write; standard output by default.
    """

    def __init__(self, verbose: int | str = "auto", file: TextIO | None = None):
        if verbose not in ("auto", 1, 2):
            raise OptionError(
                'verbose must be "auto", 0, 1 or 2', f"verbose={verbose!r}", "Use 0 for silence."
            )
        self.verbose, self.file = verbose, file
        self.bar: Bar | None = None

    def on_train_begin(self, logs=None):
        self.console = console = plain_console(self.file or sys.stdout)
        if console.is_terminal and self.verbose != 2:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, TextColumn("{task.fields[facts]}"), console=console)
            self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar is not None:
            title = f"epoch {epoch + 1}/{self.params['epochs']}"
            self.task = self.bar.add_task(title, total=self.params["steps"], facts="")

    def on_train_batch_end(self, batch, logs=None):
        if self.bar is not None:
            self.bar.update(self.task, completed=batch + 1, facts=f"loss {(logs or {})['loss']:.5f}")

    def on_epoch_end(self, epoch, logs=None):
        facts = describe(logs or {})
        if self.bar is None:
            if self._is_shown(epoch):
                self.console.print(f"epoch {epoch + 1}/{self.params['epochs']} · {facts}")
            return
        self.bar.update(self.task, facts=facts)
        self.bar.stop_task(self.task)
        if self.params["epochs"] > MAX_LINES:
            self.bar.update(self.task, visible=self._is_shown(epoch))

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _is_shown(self, epoch: int) -> bool:
        every = 1 if self.verbose == 2 else -(-self.params["epochs"] // MAX_LINES)
        return (epoch + 1) % every == 0 or epoch + 1 in (1, self.params["epochs"])


def describe(logs: dict[str, float]) -> str:
    """Return an epoch's logs in one line.

    >>> describe({"loss": 0.0123456, "val_loss": 0.012, "learning_rate": 0.01, "images_per_second": 17000.4})
    'loss 0.01235 · val_loss 0.01200 · 17,000 images/s'
    """
    parts = [f"{name} {value:.5f}" for name, value in logs.items() if name.endswith("loss")]
    return " · ".join([*parts, f"{logs['images_per_second']:,.0f} images/s"])
