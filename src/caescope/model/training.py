"""The training loop."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from caescope.callbacks import CallbackList
from caescope.errors import TrainingError
from caescope.model.losses import LOSSES
from caescope.model.memory import batches_of, images_at_a_time
from caescope.model.optimizers import make_optimizer
from caescope.model.pairs import Pairs


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


def train(model, training: Pairs, validation: Pairs | None, plan: Plan, callbacks: CallbackList):
    """Train ``model.module`` in place; ``model.stop_training`` ends it after the current batch.

    The loss of an epoch is the mean over its images as they were met, so the first epoch's is high;
    ``val_loss`` is measured when the epoch has ended. A loss that is no longer finite ends training and puts
    back the weights with which the epoch began.
    """
    steps = plan.steps(len(training))
    training, validation = training.near(model.device), validation and validation.near(model.device)
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
        with batches_of(plan.batch_size), _last_good_weights(model.module), _tiny_numbers_as_zero():
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


class BatchLogs(Mapping):
    """What callbacks are told after a batch; a figure leaves the device only when it is looked at."""

    def __init__(self, total: torch.Tensor, seen: int, rate: float):
        self._values = {"loss": lambda: float(total) / seen, "learning_rate": lambda: rate}

    def __getitem__(self, name: str) -> float:
        return self._values[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _train_epoch(model, pairs: Pairs, order, plan: Plan, optimizer, schedule, callbacks, epoch: int):
    """Take one step for each batch; return the epoch's logs."""
    module, loss_of = model.module.train(), LOSSES[model.options.lossfn]
    started, seen = time.perf_counter(), 0
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    rate, part = schedule.get_last_lr()[0], images_at_a_time(model.options, model.device)
    for step, (inputs, targets) in enumerate(pairs.batches(plan.batch_size, model.device, order)):
        callbacks.on_train_batch_begin(step)
        rate = schedule.get_last_lr()[0]
        # Gradients are cleared here and not after the step, so that callbacks can still see them
        optimizer.zero_grad(set_to_none=False)
        loss = _add_gradients(lambda x, y: loss_of(module(x.to(model.numbers)), y), inputs, targets, part)
        optimizer.step()
        schedule.step()
        seen += len(inputs)
        total += loss * len(inputs)
        if not total.is_cuda:  # a GPU would have to stop for this
            _demand_finite(total, epoch, rate)
        callbacks.on_train_batch_end(step, BatchLogs(total, seen, rate))
        if model.stop_training:
            break
    _demand_finite(total, epoch, rate)
    seconds = time.perf_counter() - started
    return {"loss": float(total) / seen, "learning_rate": rate, "images_per_second": seen / seconds}


def _add_gradients(loss_of, inputs: torch.Tensor, targets: torch.Tensor, part: int) -> torch.Tensor:
    """Add the gradients of a batch's mean loss, ``part`` images in memory at a time, and return the loss."""
    total = torch.zeros((), device=inputs.device)
    for x, y in zip(inputs.split(part), targets.split(part), strict=True):
        loss = loss_of(x, y) * (len(x) / len(inputs))
        loss.backward()
        total += loss.detach()
    return total


def _demand_finite(total: torch.Tensor, epoch: int, rate: float) -> None:
    if math.isfinite(total):
        return
    raise TrainingError(
        "The loss must stay finite",
        f"loss={float(total)} in epoch {epoch + 1} at learning rate {rate:.3g}",
        "Give a smaller learning_rate, or leave it to the optimizer's default; the model holds the weights "
        "with which the epoch began.",
    )


@contextmanager
def _tiny_numbers_as_zero() -> Iterator[None]:
    """Let this thread count denormal numbers as zero, which processors multiply many times more slowly."""
    before = torch.tensor(1e-310, dtype=torch.float64).mul(1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@torch.inference_mode()
def mean_loss(model, pairs: Pairs, batch_size: int) -> float:
    """Return the mean loss over all images."""
    module, loss_of = model.module.eval(), LOSSES[model.options.lossfn]
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    with batches_of(batch_size):
        for inputs, targets in pairs.batches(batch_size, model.device):
            total += loss_of(module(inputs), targets) * len(inputs)
    return float(total) / len(pairs)
