"""All that changes while a model trains: with it another process goes on as if it were this one."""

import warnings
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler

from caescope.model.collapse import CollapseWatch
from caescope.model.flat import FlatWeights
from caescope.model.objectives.base import Outcome

Arrays = dict[str, np.ndarray]


class TrainingState:
    """Weights, optimizer, schedule, order of the images, position and the epoch's loss so far.

    Attributes
    ----------
    epoch, step : int
        Where training is: so many epochs are done, and so many batches of the next one.
    steps_done : int
        Batches in all, on which the learning rate depends.
    total : torch.Tensor, float64
        Sum of the losses of the ``seen`` images of this epoch.
    parts : dict of str to torch.Tensor, float64
        The same for each part that the loss is made of.
    watch : CollapseWatch
        The latents of the latest images; what it has seen is not kept for another process.
    seconds : float
        That this epoch has taken.
    last_rate : float
        The learning rate of the last batch.
    logs : dict
        Of the last epoch.
    is_stopped : bool
        Whether a callback has ended training.
    is_finished : bool
        Whether nothing is left to do but `on_train_end`.
    """

    COUNTS = ("epoch", "step", "steps_done", "seen")
    FLAGS = ("is_stopped", "is_finished")
    NUMBERS = ("seconds", "last_rate")

    def __init__(
        self,
        weights: FlatWeights,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        seed: int,
        epoch: int,
    ):
        self.flat, self.weights = weights, weights.whole
        self.optimizer, self.schedule, self.epoch = optimizer, schedule, epoch
        self.generator = torch.Generator().manual_seed(seed)
        self.steps_done, self.logs, self.last_rate = 0, {}, float(schedule.get_last_lr()[0])
        self.is_stopped = self.is_finished = False
        self.watch = CollapseWatch()
        self._begin()

    def _begin(self) -> None:
        """Set everything to the beginning of an epoch."""
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.total = torch.zeros((), dtype=torch.float64, device=self.weights.device)
        self.parts: dict[str, torch.Tensor] = {}
        self.before_order = self.generator.get_state()
        self.good = self.weights.clone()

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Keep the epoch's logs, and move to the beginning of the next."""
        self.epoch, self.logs = self.epoch + 1, logs
        self._begin()

    def draw_order(self, n_images: int) -> torch.Tensor:
        """Return the order of this epoch's images, the same each time it is asked for."""
        self.generator.set_state(self.before_order)
        return torch.randperm(n_images, generator=self.generator)

    def count(self, outcome: Outcome, n_images: int) -> None:
        """Count images of a batch that have been learned, of which the loss is the mean."""
        self.total += outcome.loss * n_images
        for name, part in outcome.parts.items():
            self.parts[name] = self.parts.get(name, torch.zeros_like(self.total)) + part * n_images
        self.seen += n_images
        self.watch.see(outcome.latents)

    def end_step(self) -> None:
        """Count a batch of which all images have been learned."""
        self.step += 1
        self.steps_done += 1

    def put_good_weights_back(self) -> None:
        """Set the weights to those with which the epoch began."""
        with torch.no_grad():
            self.weights.copy_(self.good)

    def arrays(self) -> Arrays:
        """Return what is made of many numbers, by name."""
        tensors = {"weights": self.weights, "good": self.good, "order": self.before_order}
        kept = [self.optimizer.state[piece] for piece in self.flat.pieces]
        for name, value in kept[0].items():  # counters are the same for all pieces
            tensors[f"optimizer.{name}"] = torch.cat([of[name] for of in kept]) if value.ndim else value
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def facts(self) -> dict[str, Any]:
        """Return what is one number, by name."""
        names = (*self.COUNTS, *self.FLAGS, *self.NUMBERS, "logs")
        sums = {"total": float(self.total), "parts": {name: float(part) for name, part in self.parts.items()}}
        return {name: getattr(self, name) for name in names} | sums

    def shapes(self, steps_done: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and dtype of each of the `arrays` that there are after so many batches."""
        known = {"weights": self.weights, "good": self.good, "order": self.before_order}
        if steps_done:
            known |= {f"optimizer.{name}": value for name, value in self._example().items()}
        return {name: (tuple(t.shape), np.dtype(str(t.dtype).split(".")[1])) for name, t in known.items()}

    def _example(self) -> dict[str, torch.Tensor]:
        """Return what the optimizer keeps, filled with anything."""
        weights = torch.nn.Parameter(torch.zeros_like(self.weights))
        weights.grad = torch.zeros_like(weights)
        optimizer = type(self.optimizer)([weights])  # pyright: ignore[reportCallIssue]
        group = self.optimizer.state_dict()["param_groups"][0]
        optimizer.load_state_dict(optimizer.state_dict() | {"param_groups": [group]})
        optimizer.step()
        return optimizer.state[weights]

    def restore(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Become the state of which `arrays` and `facts` were kept; their shapes are right."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with torch.no_grad():
            self.weights.copy_(tensors.pop("weights"))
        self.good = tensors.pop("good").to(self.weights.device)
        self.before_order = tensors.pop("order")
        self.generator.set_state(self.before_order)
        for name, tensor in tensors.items():
            self._restore_optimizer(name.removeprefix("optimizer."), tensor)
        for name, value in facts.items():
            setattr(self, name, value)
        self.total = self._sum(facts["total"])
        self.parts = {name: self._sum(part) for name, part in facts["parts"].items()}
        self._set_schedule(facts["steps_done"])

    def _restore_optimizer(self, name: str, tensor: torch.Tensor) -> None:
        pieces = self.flat.pieces
        # Counters stay beside the program, and each piece counts for itself
        values = self.flat.split(tensor.to(self.weights.device)) if tensor.ndim else [tensor] * len(pieces)
        for piece, value in zip(pieces, values, strict=True):
            self.optimizer.state[piece][name] = value.clone()

    def _sum(self, value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.weights.device)

    def _set_schedule(self, steps: int) -> None:
        """Let the schedule be where it is after so many steps: it depends on nothing else."""
        if not steps:
            return
        self.schedule.load_state_dict({"last_epoch": steps - 1, "_step_count": steps})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer should step first, as it did elsewhere
            self.schedule.step()
