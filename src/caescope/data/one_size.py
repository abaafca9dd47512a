"""Images that must all have one size, and the sentence for those that have not."""

from collections import Counter
from pathlib import Path

import numpy as np

from caescope.errors import DataError
from caescope.storage import Place


def demand_one_size(shapes: np.ndarray, ids: np.ndarray, root: Path | Place) -> None:
    """Raise DataError unless all shapes, (n, 2 or more), have one height and width."""
    if (shapes[:, :2] == shapes[0, :2]).all():
        return
    sizes = [(height, width) for height, width, *_ in shapes.tolist()]
    common, count = Counter(sizes).most_common(1)[0]
    i = next(i for i, size in enumerate(sizes) if size != common)
    raise size_error(root, f"{count} of {len(sizes)}", common, ids[i], sizes[i])


def size_error(
    root: Path | Place, others: str, common: tuple[int, ...], name: str, size: tuple[int, ...]
) -> DataError:
    """Return the error that names the commonest size and a file of another."""
    height, width = common[:2]
    return DataError(
        f"The images of {root} must all have one size",
        f"{others} with {height}×{width} pixels (height × width), but {name} with {size[0]}×{size[1]}",
        f"Let them be made alike with resize=({height}, {width}), or with crop for the centre of each.",
    )


def colour_error(root: Path | Place, name: str) -> DataError:
    """Return the error for an image in colour among others that are all said to be grey."""
    return DataError(
        f"The images of {root} must all be grey, as the headers say",
        f"{name}, which is in colour",
        "Let all be made alike with grey=True.",
    )


def stack_images(arrays: list[np.ndarray], ids: np.ndarray, root: Path | Place) -> np.ndarray:
    """Join images of shape (height, width, channels); grey among colour becomes colour.

    Each is let go once it is copied, so that all are in memory only once.
    """
    demand_one_size(np.array([array.shape for array in arrays]), ids, root)
    channels = max(array.shape[2] for array in arrays)
    images = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for i in range(len(images)):
        pixels, arrays[i] = arrays[i], arrays[0][:0]
        images[i] = pixels
    return images
