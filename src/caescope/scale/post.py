"""What goes between whoever started a training and the worker that leads it: news one way, a request to stop
the other way.
"""

import time
from typing import Any

from caescope.callbacks import Callback, Checkpoint

SECONDS_BETWEEN = 0.5  # that batches are told of, or a request is looked for


class Post:
    """Keeps news until somebody takes them; an actor of Ray, of which both sides have the address."""

    def __init__(self):
        self._news: list[tuple[str, tuple]] = []
        self._result: Any = None
        self._signal = 0

    def tell(self, hook: str, *arguments: Any) -> None:
        """Keep the news that a hook is to be called."""
        self._news.append((hook, arguments))

    def news(self) -> tuple[list[tuple[str, tuple]], bool]:
        """Return the hooks that were not taken yet, with their arguments, and whether there is a result."""
        has_result = self.has_result()  # before the news, of which the result is the last
        news, self._news = self._news, []
        return news, has_result

    def stop(self, number: int) -> None:
        """Ask training to stop by a signal."""
        self._signal = number

    def asked(self) -> int:
        """Return the signal by which training was asked to stop, or 0."""
        return self._signal

    def end(self, result: Any) -> None:
        """Keep what came out; an error that came first stays."""
        self._result = self._result or result

    def result(self) -> Any:
        """Return what came out, if something did."""
        return self._result

    def has_result(self) -> bool:
        """Tell whether something came out."""
        return self._result is not None


class Relay(Callback):
    """Tells whoever started the training what happens in it."""

    def __init__(self, post: Any):
        self.post, self._told = post, 0.0

    def on_train_begin(self, logs=None):
        self.post.tell.remote("on_train_begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.post.tell.remote("on_epoch_begin", epoch)

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._told > SECONDS_BETWEEN:
            self._told = time.monotonic()
            self.post.tell.remote("on_train_batch_end", batch, dict(logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        self.post.tell.remote("on_epoch_end", epoch, dict(logs or {}))

    def on_train_end(self, logs=None):
        self.post.tell.remote("on_train_end", dict(logs or {}))


class Asked(Checkpoint):
    """A checkpoint of a training that another process may ask to stop."""

    def __init__(self, folder: str, seconds: float, post: Any):
        super().__init__(folder, seconds)
        self.post, self._looked = post, time.monotonic()

    def asked(self) -> int:
        """Return the signal by which training was asked to stop, or 0."""
        import ray

        if time.monotonic() - self._looked < SECONDS_BETWEEN:
            return 0
        self._looked = time.monotonic()
        return ray.get(self.post.asked.remote())
