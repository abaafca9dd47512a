"""How many images fit at a time, and a sentence where they did not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from caescope.errors import TrainingError
from caescope.model.options import Options

# Of the largest thing that a layer makes of so many images; beyond, a processor waits for its memory
CACHED_BYTES = 2**24
ENCODED_BYTES = 2**22  # with a core for each block, whose cache then holds what the next layer reads
GPU_BYTES = 2**29

KEPT_BYTES = 2**25 - 2**13  # about the largest block that can tell the C library how much to keep

# The CPU's allocator has no exception of its own
_CPU_MESSAGE = "can't allocate memory"


def images_at_a_time(options: Options, device: torch.device) -> int:
    """Return how many images go through the network fastest, at least 1."""
    room = GPU_BYTES if device.type == "cuda" else CACHED_BYTES
    return max(1, room // (options.largest_activation * torch.float32.itemsize))


def images_encoded_at_a_time(options: Options, device: torch.device, numbers: torch.dtype) -> int:
    """Return how many images go through the encoder alone fastest, where it computes in such numbers."""
    if device.type == "cuda":
        return images_at_a_time(options, device)
    return max(1, ENCODED_BYTES // (options.largest_activation * numbers.itemsize))


def keep_freed_memory() -> None:
    """Let the C library keep what a batch frees for the next one, instead of giving it back and asking anew.

    The GNU one keeps twice as much as the largest block that was freed so far, up to 64 MiB. A program that
    has read its images as an array has freed a large one; one that maps a file has not.
    """
    torch.empty(KEPT_BYTES, dtype=torch.uint8)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that there is no more memory."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or _CPU_MESSAGE in str(error)


@contextmanager
def batches_of(batch_size: int) -> Iterator[None]:
    """Turn running out of memory into a `TrainingError` that names the batch size and suggests half."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"batch_size={batch_size // 2}" if batch_size > 1 else "smaller images or fewer filters"
        came = f"out of memory with batch_size={batch_size}"
        raise TrainingError("A batch must fit into memory", came, f"Use {smaller}.") from error
