"""A sentence where PyTorch runs out of memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from caescope.errors import TrainingError

# The CPU's allocator has no exception of its own
_CPU_MESSAGE = "can't allocate memory"


@contextmanager
def batches_of(batch_size: int) -> Iterator[None]:
    """Turn running out of memory into a `TrainingError` that names the batch size and suggests half."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not known and _CPU_MESSAGE not in str(error):
            raise
        smaller = f"batch_size={batch_size // 2}" if batch_size > 1 else "smaller images or fewer filters"
        came = f"out of memory with batch_size={batch_size}"
        raise TrainingError("A batch must fit into memory", came, f"Use {smaller}.") from error
