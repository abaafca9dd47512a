"""Stop when it gets no better."""

from caescope.callbacks.base import Callback
from caescope.errors import OptionError


class EarlyStopping(Callback):
    """Stop training when a loss has not fallen for a number of epochs.

    Parameters
    ----------
    monitor : str
        A name in the logs, such as "val_loss" or "loss"; lower is better.
    min_delta : float
        A fall smaller than this does not count.
    patience : int
        Epochs without a fall that are waited for.
    restore_best_weights : bool
        Whether the weights of the best epoch come back at the end.

    Raises
    ------
    OptionError
        In the first epoch, if the logs have no such name.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        restore_best_weights: bool = False,
    ):
        self.monitor, self.min_delta, self.patience = monitor, abs(min_delta), patience
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self, logs=None):
        self.best, self.best_epoch, self.best_weights = float("inf"), 0, None

    def on_epoch_end(self, epoch, logs=None):
        value = self._read(logs or {})
        if value < self.best - self.min_delta:
            self.best, self.best_epoch = value, epoch
            self.best_weights = self.model.get_weights() if self.restore_best_weights else None
        elif epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def get_state(self):
        return {"best": self.best, "best_epoch": self.best_epoch, "best_weights": self.best_weights}

    def set_state(self, state):
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.best_weights = state["best_weights"]

    def _read(self, logs: dict) -> float:
        if self.monitor in logs:
            return logs[self.monitor]
        raise OptionError(
            f"EarlyStopping's monitor must be one of {', '.join(logs)}",
            f"monitor={self.monitor!r}",
            "Give fit a validation_split to have val_loss.",
        )
