"""Processes that train one model together: which images of a batch each has, and what they tell one another.

Each has the whole model and learns a share of every batch; gradients are averaged before the optimizer steps,
so all have the same weights after it. A process alone is a team of one, and nothing is asked of anyone then.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from caescope.errors import OptionError
from caescope.model.adding import add_up
from caescope.model.share import Share


@dataclass(frozen=True)
class Team:
    """Processes that train together, of which this is one.

    Attributes
    ----------
    rank : int
        Which of them this is; the first one calls the callbacks and writes the checkpoint.
    size : int
        How many there are.
    group : torch.distributed.ProcessGroup or None
        Between whose processors they talk of what is no gradient.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the process that calls callbacks and writes."""
        return self.rank == 0

    def demand_enough(self, batch_size: int) -> None:
        """Demand that each process gets an image of every batch.

        Raises
        ------
        OptionError
            If batches are smaller than the team.
        """
        if batch_size < self.size:
            raise OptionError(
                "batch_size must be at least the number of workers",
                f"batch_size={batch_size} and {self.size} workers",
                "Use a larger batch, or fewer workers.",
            )

    def rows(self, n_images: int) -> slice:
        """Return which of so many images in a row are this process's; all get as many, or one more.

        >>> [Team(rank, 3).rows(8) for rank in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None)]
        """
        least, more = divmod(n_images, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def share(self, n_images: int) -> Share:
        """Return this process's share of a batch; where it has none, one image that does not count."""
        rows = self.rows(n_images)
        own = rows.stop - rows.start
        return Share(rows if own else slice(0, 1), own, n_images, self.size)

    def shares(self, n_images: int, batch_size: int) -> list[Share]:
        """Return this process's share of every batch of an epoch, or of what is left of one."""
        starts = range(0, n_images, batch_size)
        return [self.share(min(batch_size, n_images - start)) for start in starts]

    def order(self, order: torch.Tensor, shares: Sequence[Share], batch_size: int) -> torch.Tensor:
        """Return those of the images in ``order`` that are this process's, batch by batch."""
        parts = [order[i * batch_size :][share.rows] for i, share in enumerate(shares)]
        return torch.cat(parts)

    def wrap(self, objective: nn.Module) -> nn.Module:
        """Return the objective so that its gradients are the team's mean, and its weights the first one's."""
        if self.size == 1:
            return objective
        from caescope.model.averaging import averaging

        return averaging(objective, self.size)

    def quiet(self, learner: nn.Module) -> AbstractContextManager:
        """Let gradients only add up, since more of the same batch is to come."""
        return nullcontext() if self.size == 1 else learner.no_sync()  # pyright: ignore

    def most(self, n_images: int) -> int:
        """Return how many images of a batch any process has at most."""
        return -(-n_images // self.size)

    def sum(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all processes give, on the CPU where there is more than one."""
        if self.size == 1:
            return numbers
        return add_up(numbers.cpu(), self.group)

    def largest(self, *numbers: int) -> list[int]:
        """Return the largest that any process gives, for each of the numbers."""
        if self.size == 1:
            return list(numbers)
        found = torch.tensor(numbers)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group=self.group)
        return found.tolist()

    def told(self, thing: Any) -> Any:
        """Return what the first process gives."""
        if self.size == 1:
            return thing
        things = [thing]
        torch.distributed.broadcast_object_list(things, group=self.group)
        return things[0]


ALONE = Team()


def team_of_group() -> Team:
    """Return the team that `torch.distributed`'s processes are, for who runs in one of them."""
    distributed = torch.distributed
    group = None if distributed.get_backend() == "gloo" else distributed.new_group(backend="gloo")
    return Team(distributed.get_rank(), distributed.get_world_size(), group)
