"""The training loop."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from caescope.callbacks import CallbackList
from caescope.errors import TrainingError
from caescope.model.losses import LOSSES
from caescope.model.memory import batches_of
from caescope.model.optimizers import make_optimizer
from caescope.model.precision import computing_in


@dataclass(frozen=True)
class ImagePairs:
    """Input images and the images that they should become, each (n, height, width, channels)."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def cut(self, rows: slice) -> "ImagePairs":
        """Return the pairs in ``rows``; where inputs are their own targets they stay so."""
        inputs = self.inputs[rows]
        return ImagePairs(inputs, inputs if self.targets is self.inputs else self.targets[rows])

    def batches(
        self, batch_size: int, device: torch.device, order: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield float batches in [0, 1] on ``device``, in ``order`` (indices) or as they lie."""
        for start in range(0, len(self), batch_size):
            stop = start + batch_size
            rows = slice(start, stop) if order is None else order[start:stop]
            inputs = _to_float(self.inputs[rows].to(device))
            same = self.targets is self.inputs
            yield inputs, inputs if same else _to_float(self.targets[rows].to(device))


def _to_float(images: torch.Tensor) -> torch.Tensor:
    return images / 255 if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class Plan:
    """How long and in what portions to train."""

    epochs: int
    initial_epoch: int
    batch_size: int
    shuffle: bool
    learning_rate: float | None
    seed: int

    def steps(self, n_images: int) -> int:
        """Steps of one epoch."""
        return -(-n_images // self.batch_size)


def train(model, training: ImagePairs, validation: ImagePairs | None, plan: Plan, callbacks: CallbackList):
    """Train ``model.module`` in place; ``model.stop_training`` ends it after the current batch.

    The loss of an epoch is the mean over its images as they were met, so the first epoch's is high;
    ``val_loss`` is measured when the epoch has ended. A loss that is no longer finite ends training and puts
    back the weights with which the epoch began.
    """
    steps = plan.steps(len(training))
    optimizer, schedule = make_optimizer(
        model.options.optimizer,
        model.module.parameters(),
        plan.learning_rate,
        steps * (plan.epochs - plan.initial_epoch),
    )
    generator = torch.Generator().manual_seed(plan.seed)
    model.stop_training = False
    callbacks.on_train_begin()
    logs = {}
    for epoch in range(plan.initial_epoch, plan.epochs):
        callbacks.on_epoch_begin(epoch)
        order = torch.randperm(len(training), generator=generator) if plan.shuffle else None
        with batches_of(plan.batch_size), _last_good_weights(model.module):
            logs = _train_epoch(model, training, order, plan, optimizer, schedule, callbacks, epoch)
        if validation is not None:
            callbacks.on_test_begin()
            logs["val_loss"] = mean_loss(model, validation, plan.batch_size)
            callbacks.on_test_end({"loss": logs["val_loss"]})
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callbacks.on_train_end(logs)


@contextmanager
def _last_good_weights(module: torch.nn.Module) -> Iterator[None]:
    """Put the weights back if training fails."""
    good = [weight.detach().clone() for weight in module.parameters()]
    try:
        yield
    except TrainingError:
        with torch.no_grad():
            for weight, value in zip(module.parameters(), good, strict=True):
                weight.copy_(value)
        raise


def _train_epoch(model, pairs: ImagePairs, order, plan: Plan, optimizer, schedule, callbacks, epoch: int):
    """Take one step for each batch; return the epoch's logs."""
    module, loss_of = model.module.train(), LOSSES[model.options.lossfn]
    started, seen, total = time.perf_counter(), 0, 0.0
    rate = schedule.get_last_lr()[0]
    for step, (inputs, targets) in enumerate(pairs.batches(plan.batch_size, model.device, order)):
        callbacks.on_train_batch_begin(step)
        rate = schedule.get_last_lr()[0]
        # Gradients are cleared here and not after the step, so that callbacks can still see them
        optimizer.zero_grad(set_to_none=False)
        with computing_in(model.precision, model.device):
            reconstructions = module(inputs)
        loss = loss_of(reconstructions, targets)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += _finite(loss.item(), epoch, rate) * len(inputs)
        seen += len(inputs)
        callbacks.on_train_batch_end(step, {"loss": total / seen, "learning_rate": rate})
        if model.stop_training:
            break
    seconds = time.perf_counter() - started
    return {"loss": total / seen, "learning_rate": rate, "images_per_second": seen / seconds}


def _finite(loss: float, epoch: int, rate: float) -> float:
    if np.isfinite(loss):
        return loss
    raise TrainingError(
        "The loss must stay finite",
        f"loss={loss} in epoch {epoch + 1} at learning rate {rate:.3g}",
        "Give a smaller learning_rate, or leave it to the optimizer's default; the model holds the weights "
        "with which the epoch began.",
    )


@torch.inference_mode()
def mean_loss(model, pairs: ImagePairs, batch_size: int) -> float:
    """Return the mean loss over all images."""
    module, loss_of = model.module.eval(), LOSSES[model.options.lossfn]
    total = 0.0
    with batches_of(batch_size):
        for inputs, targets in pairs.batches(batch_size, model.device):
            total += loss_of(module(inputs), targets).item() * len(inputs)
    return total / len(pairs)
