"""One step's gradients: of a whole batch, or of this process's share, as many images at a time as fit."""

from contextlib import nullcontext

import numpy as np
import torch

from caescope.model.memory import images_at_a_time, is_out_of_memory
from caescope.model.objectives import Outcome
from caescope.model.share import Share
from caescope.model.team import Team
from caescope.views.drawing import BatchGenerator

Counted = tuple[Outcome, int]  # and how many images it was made of


class Learner:
    """Adds the gradients of batches to those of a model's weights.

    Where memory does not suffice, half as many images are taken at a time from then on, once.

    Parameters
    ----------
    model : Model
    team : Team
        Who has the rest of each batch.
    seed : int
        Of all random numbers, with the number of the step.
    """

    def __init__(self, model, team: Team, seed: int):
        self.objective, self.team, self.seed = model.objective, team, seed
        self.module = team.wrap(model.objective)
        couples = self.objective.couples_images
        self.at_a_time = None if couples else images_at_a_time(model.options, model.device)
        self._may_halve = True

    def learn(
        self, inputs: torch.Tensor, targets: torch.Tensor, share: Share, step: int, progress: float
    ) -> list[Counted]:
        """Add the gradients of a batch's mean loss, and return what was made of it.

        Parameters
        ----------
        inputs, targets : torch.Tensor, shape (n, height, width, channels), float32
            This process's images of the batch.
        share : Share
            Which of the batch they are.
        step : int
            Of the training, from 0.
        progress : float
            As in `Objective.forward`.
        """
        try:
            outcomes = self._add_gradients(inputs, targets, share, step, progress)
        except (MemoryError, RuntimeError) as error:
            part = min(self.at_a_time or 1, len(inputs))
            if not (self._may_halve and part > 1 and is_out_of_memory(error)):
                raise
            self._may_halve, self.at_a_time = False, part // 2
            self._forget_gradients()
            outcomes = self._add_gradients(inputs, targets, share, step, progress)
        return self.team.join(outcomes, share)

    def _add_gradients(
        self, inputs: torch.Tensor, targets: torch.Tensor, share: Share, step: int, progress: float
    ) -> list[Counted]:
        part = self.at_a_time or len(inputs)
        is_at_once = self.team.most(share.n_all) <= part
        self.objective.share = share if is_at_once and self.team.size > 1 else None
        generator = self._generator(step, self.objective.share)
        outcomes: list[Counted] = []
        for start in range(0, len(inputs), part):
            x, y = inputs[start : start + part], targets[start : start + part]
            with nullcontext() if start + part >= len(inputs) else self.team.quiet(self.module):
                outcome: Outcome = self.module(x, y, generator, progress)
                (outcome.loss * self._scale(share, len(x))).backward()
            outcomes.append((outcome.detached(), len(x)))
        return outcomes

    def _scale(self, share: Share, n_images: int) -> float:
        """Return what the loss of so many images counts for; one that couples images is the batch's."""
        return 1.0 if self.objective.couples_images else share.scale(n_images)

    def _generator(self, step: int, share: Share | None) -> torch.Generator:
        """Return the source of a step's random numbers; it depends on nothing that came before."""
        generator = BatchGenerator()
        if self.objective.draws:
            seeds = [self.seed, step] if share or self.team.leads else [self.seed, step, self.team.rank]
            generator.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        generator.share = share
        return generator

    def _forget_gradients(self) -> None:
        for weights in self.objective.parameters():
            if weights.grad is not None:
                weights.grad.zero_()
