"""The hooks, and those who are called through them."""

from collections.abc import Sequence
from typing import Any

from caescope.errors import OptionError


class Callback:
    """Hooks that do nothing; override those that you need.

    Attributes
    ----------
    model : Model
        What is being trained; set ``self.model.stop_training = True`` to end it.
    params : dict
        ``epochs``, ``steps`` (in an epoch), ``verbose``, and ``images``: the first few validation images (or
        training images where there are none) of shape (n, height, width, channels), for pictures.

    Notes
    -----
    A callback that learns something while it looks on has two more methods, so that a training that was
    interrupted goes on as if it had not been: ``get_state()`` returns a dict of plain values and of lists of
    arrays, and ``set_state(state)`` takes it back, after ``on_train_begin``.
    """

    model: Any = None
    params: dict[str, Any] = {}  # noqa: RUF012 - replaced as a whole, never changed

    def set_model(self, model) -> None:
        self.model = model

    def set_params(self, params: dict) -> None:
        self.params = params

    def on_train_begin(self, logs=None):
        """Called once, before the first epoch."""

    def on_train_end(self, logs=None):
        """Called once, with the logs of the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Called before each epoch, counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Called with ``loss``, ``val_loss`` if there is one, ``learning_rate`` and ``images_per_second``."""

    def on_train_batch_begin(self, batch, logs=None):
        """Called before each batch, counted from 0 in every epoch."""

    def on_train_batch_end(self, batch, logs=None):
        """Called with the epoch's mean ``loss`` so far and the ``learning_rate``."""

    def on_test_begin(self, logs=None):
        """Called before the validation images are measured."""

    def on_test_end(self, logs=None):
        """Called with their ``loss``."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))

# Keras's older names for the same moments
_OLD_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class CallbackList:
    """Calls every callback that has the hook, in order.

    Parameters
    ----------
    callbacks : sequence of objects
        `Callback`, Keras's own callbacks, or any object with some of the hooks.

    Raises
    ------
    OptionError
        If an object has none of them.
    """

    def __init__(self, callbacks: Sequence[Any]):
        for callback in callbacks:
            if isinstance(callback, type) or not any(_find(callback, hook) for hook in HOOKS):
                raise OptionError(
                    f"A callback must be an object with at least one of {', '.join(HOOKS)}",
                    repr(callback),
                    "Give for example TensorBoard(log_dir='logs').",
                )
        self.callbacks = list(callbacks)
        for hook in HOOKS:
            setattr(self, hook, _caller([method for c in callbacks if (method := _find(c, hook))]))

    def attach(self, model, params: dict) -> None:
        """Tell every callback the model and the training's parameters."""
        for callback in self.callbacks:
            for name, value in (("set_params", params), ("set_model", model)):
                if hasattr(callback, name):
                    getattr(callback, name)(value)

    def with_state(self) -> list[Any]:
        """Return the callbacks that have a state of their own, in order."""
        return [callback for callback in self.callbacks if hasattr(callback, "get_state")]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"CallbackList has no hook {name!r}")


def _find(callback, hook: str):
    """Return the callback's method for a hook, under its new or its old name."""
    return getattr(callback, hook, None) or getattr(callback, _OLD_NAMES.get(hook, hook), None)


def _caller(methods: list):
    def call(*arguments):
        for method in methods:
            method(*arguments)

    return call


class History(Callback):
    """What ``fit`` returns: ``.history`` maps a name to one value for each epoch, ``.epoch`` counts them."""

    def __init__(self):
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def get_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history}

    def set_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.history.items())
        return f"History({len(self.epoch)} epochs{'; last: ' if last else ''}{last})"
