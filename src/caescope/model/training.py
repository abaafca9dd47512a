"""The training loop."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from caescope.callbacks import CallbackList, Checkpoint
from caescope.errors import TrainingError, TrainingStopped
from caescope.model.checkpoint import Keeper, settings_of
from caescope.model.flat import lay_end_to_end
from caescope.model.learner import Learner, Step
from caescope.model.losses import LOSSES
from caescope.model.memory import batches_of, keep_freed_memory
from caescope.model.optimizers import default_rate, make_optimizer
from caescope.model.pairs import Pairs
from caescope.model.share import Share
from caescope.model.state import TrainingState
from caescope.model.team import ALONE, Team


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

    def all_steps(self, n_images: int) -> int:
        """Steps of the whole training."""
        return self.steps(n_images) * (self.epochs - self.initial_epoch)


@dataclass
class Job:
    """One training: what is trained on what, by whom, and where it is."""

    model: Any
    learner: Learner
    training: Pairs
    validation: Pairs | None
    plan: Plan
    state: TrainingState
    callbacks: CallbackList
    keeper: Keeper
    team: Team


def train(
    model,
    training: Pairs,
    validation: Pairs | None,
    plan: Plan,
    callbacks: CallbackList,
    checkpoint: Checkpoint | None = None,
    team: Team = ALONE,
):
    """Minimise ``model.objective`` in place; ``model.stop_training`` ends it after the current batch.

    The loss of an epoch is the mean over its images as they were met, so the first epoch's is high;
    ``val_loss`` is measured when the epoch has ended. A loss that is no longer finite ends training and puts
    back the weights with which the epoch began. With a checkpoint, training goes on where that one is. In a
    team, every process calls this with the same but for callbacks, which only the first one has.
    """
    team.demand_enough(plan.batch_size)
    keep_freed_memory()
    objective = model.objective
    weights = lay_end_to_end(objective.parameters(), at_one_rate=objective.keeps_latents_apart)
    optimizer, schedule = make_optimizer(
        model.options.optimizer,
        weights,
        plan.learning_rate or default_rate(model.options.optimizer, model.options.architecture),
        plan.all_steps(len(training)),
    )
    state = TrainingState(weights, optimizer, schedule, plan.seed, plan.initial_epoch)
    is_kept = checkpoint is not None and team.leads
    settings = settings_of(model, plan, training, validation, callbacks) if is_kept else {}
    keeper = Keeper(checkpoint, settings, state, callbacks, team)
    training, validation = training.near(model.device), validation and validation.near(model.device)
    kept = keeper.read()
    callbacks.on_train_begin()
    keeper.restore(kept)
    model.stop_training = state.is_stopped
    learner = Learner(model, team, plan.seed)
    job = Job(model, learner, training, validation, plan, state, callbacks, keeper, team)
    try:
        with keeper.listening():
            while not state.is_finished:
                _train_epoch(job)
                state.is_finished = model.stop_training or state.epoch == plan.epochs
                keeper.after_epoch()
    except TrainingStopped:
        callbacks.on_train_end(state.logs)
        raise
    callbacks.on_train_end(state.logs)


def _train_epoch(job: Job) -> None:
    """Learn what is left of an epoch, and measure it."""
    model, state, callbacks = job.model, job.state, job.callbacks
    callbacks.on_epoch_begin(state.epoch)
    with batches_of(job.plan.batch_size), _last_good_weights(state), _tiny_numbers_as_zero():
        _learn_batches(job)
    logs = {
        "loss": float(state.total) / state.seen,
        **{name: float(total) / state.seen for name, total in state.parts.items()},
        "learning_rate": state.last_rate,
        "images_per_second": state.seen / state.seconds,
    }
    if job.validation is not None:
        callbacks.on_test_begin()
        between = job.keeper.between_batches if job.team.size == 1 else _nothing
        logs["val_loss"] = mean_loss(model, job.validation, job.plan.batch_size, between, job.team)
        callbacks.on_test_end({"loss": logs["val_loss"]})
    callbacks.on_epoch_end(state.epoch, logs)
    job.keeper.agree(model)
    state.watch.say(state.epoch, model.objective.least_deviation)
    state.end_epoch(logs)


@contextmanager
def _last_good_weights(state: TrainingState) -> Iterator[None]:
    """Put the weights back if training fails."""
    try:
        yield
    except TrainingError:
        state.put_good_weights_back()
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


def _learn_batches(job: Job) -> None:
    """Take one step for each batch of the epoch that is left."""
    model, state, callbacks, plan = job.model, job.state, job.callbacks, job.plan
    started = time.perf_counter() - state.seconds
    for inputs, targets, share in _batches_left(job):
        if model.stop_training and job.team.size == 1:
            break
        step = state.step
        if not model.stop_training:
            callbacks.on_train_batch_begin(step)
        # Gradients are cleared here and not after the step, so that callbacks can still see them
        state.optimizer.zero_grad(set_to_none=False)
        progress = state.steps_done / plan.all_steps(len(job.training))
        news = job.keeper.news(model)
        outcomes = job.learner.learn(Step(inputs, targets, share, state.steps_done, progress, news))
        if job.team.size > 1 and job.keeper.hear(model, *job.learner.heard):
            state.is_stopped = model.stop_training  # after the batch before; this one is not learned
            job.keeper.after_batch()
            break
        state.last_rate = float(state.schedule.get_last_lr()[0])
        state.optimizer.step()
        state.schedule.step()
        for outcome, n_images in outcomes:
            state.count(outcome, n_images)
        state.end_step()
        if not state.total.is_cuda:  # a GPU would have to stop for this
            _demand_finite(state)
        state.seconds = time.perf_counter() - started
        callbacks.on_train_batch_end(step, BatchLogs(state.total, state.seen, state.last_rate))
        state.is_stopped = model.stop_training
        job.keeper.after_batch()
    _demand_finite(state)
    state.seconds = time.perf_counter() - started


def _batches_left(job: Job) -> Iterator[tuple[torch.Tensor, torch.Tensor, Share]]:
    """Yield this process's images of each batch that is left, and which of the batch they are."""
    n_images, size = len(job.training), job.plan.batch_size
    order = _order_left(n_images, job.plan, job.state)
    shares = job.team.shares(n_images - job.state.step * size, size)
    if job.team.size > 1:
        order = job.team.order(torch.arange(n_images) if order is None else order, shares, size)
        size = shares[0].rows.stop - shares[0].rows.start
    yield from (
        (inputs, targets, share)
        for (inputs, targets), share in zip(
            job.training.batches(size, job.model.device, order), shares, strict=True
        )
    )


def _order_left(n_images: int, plan: Plan, state: TrainingState) -> torch.Tensor | None:
    """Return the images of this epoch that are to be learned yet, in order; None for all as they lie."""
    if plan.shuffle:
        return state.draw_order(n_images)[state.step * plan.batch_size :]
    return torch.arange(state.step * plan.batch_size, n_images) if state.step else None


def _demand_finite(state: TrainingState) -> None:
    if math.isfinite(state.total):
        return
    raise TrainingError(
        "The loss must stay finite",
        f"loss={float(state.total)} in epoch {state.epoch + 1} at learning rate {state.last_rate:.3g}",
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


def _nothing() -> None:
    """Do nothing between batches."""


@torch.inference_mode()
def mean_loss(
    model,
    pairs: Pairs,
    batch_size: int,
    between_batches: Callable[[], None] = _nothing,
    team: Team = ALONE,
) -> float:
    """Return the mean loss over all images; in a team each process measures its rows of them."""
    module, loss_of = model.module.eval(), LOSSES[model.options.lossfn]
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    with batches_of(batch_size):
        for inputs, targets in pairs.cut(team.rows(len(pairs))).batches(batch_size, model.device):
            total += loss_of(module(inputs), targets) * len(inputs)
            between_batches()
    return float(team.sum(total)) / len(pairs)
