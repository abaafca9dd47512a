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
        is_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or _CPU_MESSAGE in str(
            error
        )
        if not is_memory:
            raise
        half = (
            f"Use batch_size={batch_size // 2}." if batch_size > 1 else "Use smaller images or fewer filters."
        )
        raise TrainingError(
            "A batch must fit into memory", f"out of memory with batch_size={batch_size}", half
        ) from error
