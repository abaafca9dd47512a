"""Which images of a batch a process learns, and what its figures say of the whole batch."""

from dataclasses import dataclass

import torch

from caescope.model.adding import add_up


@dataclass(frozen=True)
class Share:
    """The images of a batch that one process has.

    Attributes
    ----------
    rows : slice
        Which of the batch they are.
    n_own : int
        How many; 0 where the one that ``rows`` names does not count, since every process needs one.
    n_all : int
        Images of the whole batch.
    size : int
        Processes among which the batch is shared.
    """

    rows: slice
    n_own: int
    n_all: int
    size: int = 1

    def scale(self, n_images: int) -> float:
        """Return what the mean over some of the images counts for, where processes' gradients are averaged.

        >>> Share(slice(0, 3), 3, 4).scale(3), Share(slice(0, 3), 3, 4, size=2).scale(3)
        (0.75, 1.5)
        """
        return n_images / self.n_all * self.size if self.n_own else 0.0

    def mean(self, figure: torch.Tensor) -> torch.Tensor:
        """Return the mean over the batch of which ``figure`` is the mean over this process's images.

        Gradients flow through it to every process.
        """
        if self.size == 1:
            return figure
        return _Sum.apply(figure * (self.n_own / self.n_all))  # pyright: ignore[reportReturnType]


class _Sum(torch.autograd.Function):
    """The sum over processes; what each makes of it depends on what every one has given."""

    @staticmethod
    def forward(ctx, figure: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return _summed(figure)

    @staticmethod
    def backward(ctx, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return _summed(gradients[0])


def _summed(figure: torch.Tensor) -> torch.Tensor:
    return add_up(figure.clone(memory_format=torch.contiguous_format))


def whole(n_images: int) -> Share:
    """Return the share of who has the batch for itself."""
    return Share(slice(0, n_images), n_images, n_images)
