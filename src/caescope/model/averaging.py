"""How processes average their gradients; imported only where there are several processes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from caescope.model.adding import wait_for


def averaging(module: nn.Module, size: int) -> DistributedDataParallel:
    """Return a module of which so many processes average the gradients; weights become the first one's."""
    shared = DistributedDataParallel(module)
    if distributed.get_backend() == "gloo":
        shared.register_comm_hook(Averaging(size), average)
    return shared


@dataclass
class Averaging:
    """Gradients that so many processes are averaging."""

    size: int
    under_way: list[Any] = field(default_factory=list)


def average(
    state: Averaging,
    bucket: distributed.GradBucket,  # pyright: ignore[reportPrivateImportUsage]
) -> torch.futures.Future[torch.Tensor]:
    """Average some of the gradients; a hook of `DistributedDataParallel`, which waits at the last ones."""
    gradients = bucket.buffer().div_(state.size)
    state.under_way.append(distributed.all_reduce(gradients, async_op=True))
    if bucket.is_last():
        for work in state.under_way:
            wait_for(work, gradients.device)
        state.under_way.clear()
    averaged: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    averaged.set_result(gradients)
    return averaged
