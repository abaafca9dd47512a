"""Event files that TensorBoard reads."""

import os
import warnings
from pathlib import Path

import numpy as np
import torch

from caescope.callbacks.base import Callback
from caescope.errors import OptionError


class TensorBoard(Callback):
    """Write what happens in training for TensorBoard; look at it with ``tensorboard --logdir logs``.

    Parameters
    ----------
    log_dir : path-like
        Folder of the event files; made if it does not exist.
    histogram_freq : int
        Every so many epochs a histogram of each layer's weights is written; 0 for never.
    write_graph : bool
        Whether the graph of the network is written, once.
    write_images : bool
        Whether every epoch writes the convolutions' kernels, and a few images above their reconstructions.
    write_grads : bool
        Whether the gradients' histograms come with those of the weights.
    update_freq : "epoch", "batch" or int
        When the loss is written besides the end of each epoch: never, after every batch, or after every so
        many batches.

    Raises
    ------
    OptionError
        If a frequency cannot be used.

    Notes
    -----
    Scalars are ``loss``, ``val_loss``, ``learning_rate`` and ``images_per_second`` by epoch, counted from 1,
    and ``batch_loss`` and ``batch_learning_rate`` by batch. They are on the disk when the epoch ends.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_grads: bool = False,
        update_freq: str | int = "epoch",
    ):
        self.log_dir = Path(log_dir)
        self.histogram_freq = _parse_histogram_freq(histogram_freq)
        self.write_graph, self.write_images, self.write_grads = write_graph, write_images, write_grads
        self.batches_between = _parse_update_freq(update_freq)

    def on_train_begin(self, logs=None):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.log_dir))
        self.n_batches = 0
        if self.write_graph:
            self._add_graph()

    def on_train_batch_end(self, batch, logs=None):
        self.n_batches += 1
        if self.batches_between and self.n_batches % self.batches_between == 0:
            for name, value in (logs or {}).items():
                self.writer.add_scalar(f"batch_{name}", value, self.n_batches)
            self.writer.flush()

    def on_epoch_end(self, epoch, logs=None):
        step = epoch + 1
        for name, value in (logs or {}).items():
            self.writer.add_scalar(name, value, step)
        if self.histogram_freq and step % self.histogram_freq == 0:
            self._add_histograms(step)
        if self.write_images:
            self._add_kernels(step)
            self._add_reconstructions(step)
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()

    def get_state(self):
        return {"n_batches": self.n_batches}

    def set_state(self, state):
        self.n_batches = state["n_batches"]

    def _add_graph(self) -> None:
        images = torch.zeros((1, *self.params["images"].shape[1:]), device=self.model.device)
        # The writer traces the network, which PyTorch calls deprecated; TensorBoard reads no other graph
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            self.model.module(images)  # fills the caches, whose filling is no part of the graph
            self.writer.add_graph(self.model.module, images)

    def _add_histograms(self, step: int) -> None:
        for name, weight in self.model.module.named_parameters():
            tag = name.replace(".", "/")
            self.writer.add_histogram(tag, weight.detach().cpu(), step)
            if self.write_grads and weight.grad is not None:
                self.writer.add_histogram(f"{tag}/gradient", weight.grad.cpu(), step)

    def _add_kernels(self, step: int) -> None:
        for name, weight in self.model.module.named_parameters():
            if weight.ndim == 4:
                picture = draw_kernels(weight.detach().cpu().numpy())
                # TensorBoard knows one kind of data for each tag, and the plain name is the histogram's
                tag = name.replace(".", "/").removesuffix("weight") + "kernels"
                self.writer.add_image(tag, picture, step, dataformats="HWC")

    def _add_reconstructions(self, step: int) -> None:
        images = self.params["images"]
        reconstructions = self.model.predict(images)
        inputs = images / 255 if images.dtype == np.uint8 else images
        pairs = np.concatenate([np.hstack(list(inputs)), np.hstack(list(reconstructions))])
        self.writer.add_image("input_above_reconstruction", pairs, step, dataformats="HWC")


def draw_kernels(weight: np.ndarray, zoom: int = 8) -> np.ndarray:
    """Return kernels (out, in, height, width) as one grey picture, a row for each output channel.

    Grey is zero, white the largest absolute weight, black its negative; every weight is ``zoom`` pixels wide.
    """
    scaled = 0.5 + weight / (2 * max(np.abs(weight).max(), 1e-12))
    blocks = scaled.repeat(zoom, axis=2).repeat(zoom, axis=3)
    framed = np.pad(blocks, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0)
    n_out, n_in, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(n_out * height, n_in * width, 1)


def _parse_histogram_freq(value) -> int:
    if hasattr(value, "__index__") and int(value) >= 0:
        return int(value)
    must = "histogram_freq must be a number of epochs, or 0 for never"
    raise OptionError(must, f"histogram_freq={value!r}", "Use 1 for every epoch.")


def _parse_update_freq(value) -> int:
    """Return the batches between two writings, 0 for none."""
    known = {"epoch": 0, "batch": 1}
    if isinstance(value, str) and value in known:
        return known[value]
    if hasattr(value, "__index__") and not isinstance(value, bool) and int(value) > 0:
        return int(value)
    must = 'update_freq must be "epoch", "batch" or a number of batches above 0'
    raise OptionError(must, f"update_freq={value!r}", 'Use "epoch", the default.')
