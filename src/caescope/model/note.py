"""A few numbers of each process of a team that travel with the gradients."""

from collections.abc import Sequence

import torch
from torch import nn

from caescope.model.objectives.base import Objective, Outcome

ROOM = 16  # numbers


class Noted(nn.Module):
    """An objective, with a note that is the gradient of parameters of its own.

    So its numbers are averaged with all gradients. In a message of their own, which is another wait at every
    step, they would take longer than the gradients.
    """

    def __init__(self, objective: Objective):
        super().__init__()
        self.objective = objective
        self.note = nn.Parameter(torch.zeros(ROOM, device=next(objective.parameters()).device))

    def forward(
        self, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator, progress: float
    ) -> Outcome:
        """Return what the objective does."""
        return self.objective(images, targets, generator, progress)

    def carrying(self, numbers: Sequence[torch.Tensor | float]) -> torch.Tensor:
        """Return 0, which added to the loss adds numbers to the note."""
        values = [torch.as_tensor(number, device=self.note.device).detach().float() for number in numbers]
        return (self.note[: len(values)] * torch.stack(values)).sum()

    def clear(self) -> None:
        """Forget what was noted."""
        if self.note.grad is not None:
            self.note.grad.zero_()

    def read(self, size: int) -> torch.Tensor:
        """Return the sums of what so many processes have noted, shape (16,), float64, on the CPU."""
        assert self.note.grad is not None
        return self.note.grad.cpu().double() * size
