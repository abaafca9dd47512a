"""One step's gradients: of a whole batch, or of this process's share, as many images at a time as fit."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from caescope.model.memory import images_at_a_time, is_out_of_memory
from caescope.model.note import Noted
from caescope.model.objectives import Outcome
from caescope.model.share import Share
from caescope.model.team import Team
from caescope.views.drawing import BatchGenerator

Counted = tuple[Outcome, int]  # and how many images it was made of


@dataclass(frozen=True)
class Step:
    """What a process has of one step of a training.

    Attributes
    ----------
    inputs, targets : torch.Tensor, shape (n, height, width, channels), float32
        Its images of the batch.
    share : Share
        Which of the batch they are.
    number : int
        Of the training, from 0.
    progress : float
        As in `Objective.forward`.
    news : sequence of int
        What it has to tell the others of its team.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    share: Share
    number: int
    progress: float
    news: Sequence[int] = ()


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

    Attributes
    ----------
    heard : list of int
        The sum of what all processes of the team had to tell at the last step.
    """

    def __init__(self, model, team: Team, seed: int):
        self.objective, self.team, self.seed = model.objective, team, seed
        self.noted = Noted(model.objective) if team.size > 1 else None
        self.module = team.wrap(self.noted or model.objective)
        self.heard: list[int] = []
        couples = self.objective.couples_images
        self.at_a_time = None if couples else images_at_a_time(model.options, model.device)
        self._may_halve = True

    def learn(self, step: Step) -> list[Counted]:
        """Add the gradients of a batch's mean loss, and return what was made of it."""
        try:
            outcomes = self._add_gradients(step)
        except (MemoryError, RuntimeError) as error:
            part = min(self.at_a_time or 1, len(step.inputs))
            if not (self._may_halve and part > 1 and is_out_of_memory(error)):
                raise
            self._may_halve, self.at_a_time = False, part // 2
            self._forget_gradients()
            outcomes = self._add_gradients(step)
        return outcomes if self.noted is None else self._join(outcomes, step)

    def _add_gradients(self, step: Step) -> list[Counted]:
        inputs, targets, share = step.inputs, step.targets, step.share
        if self.noted is not None:
            self.noted.clear()
        part = self.at_a_time or len(inputs)
        is_at_once = self.team.most(share.n_all) <= part
        self.objective.share = share if is_at_once and self.team.size > 1 else None
        generator = self._generator(step.number, self.objective.share)
        outcomes: list[Counted] = []
        for start in range(0, len(inputs), part):
            x, y = inputs[start : start + part], targets[start : start + part]
            with nullcontext() if start + part >= len(inputs) else self.team.quiet(self.module):
                outcome: Outcome = self.module(x, y, generator, step.progress)
                loss = outcome.loss * self._scale(share, len(x))
                if self.noted is not None:
                    told = [0] * len(step.news) if start else step.news
                    loss = loss + self.noted.carrying([*told, *_figures(outcome, len(x) * bool(share.n_own))])
                loss.backward()
            outcomes.append((outcome.detached(), len(x)))
        return outcomes

    def _join(self, outcomes: list[Counted], step: Step) -> list[Counted]:
        """Hear the news, and return what the whole batch made, with the latents of this process's images."""
        sums = self.noted.read(self.team.size)  # pyright: ignore[reportOptionalMemberAccess]
        news, n_images = len(step.news), step.share.n_all
        self.heard = [round(number) for number in sums[:news].tolist()]
        loss, *parts = sums[news:] / n_images
        latents = torch.cat([outcome.latents for outcome, _ in outcomes])
        return [(Outcome(loss, latents, dict(zip(outcomes[0][0].parts, parts, strict=False))), n_images)]

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


def _figures(outcome: Outcome, n_images: int) -> list[torch.Tensor]:
    """Return the loss and its parts, added up over so many images."""
    return [figure * n_images for figure in (outcome.loss, *outcome.parts.values())]
