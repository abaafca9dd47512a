"""Images and what they should become, batch by batch: from memory, or from wherever they lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from caescope.errors import DataError
from caescope.images import parse_images
from caescope.model.precision import to_unit
from caescope.parallel import blocks_of, map_in_order

ROOM_FOR_IMAGES = 0.5  # of a GPU's free memory; the rest is for batches


@dataclass(frozen=True)
class ImagePairs:
    """Input images and the images that they should become, each (n, height, width, channels)."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def cut(self, rows: slice) -> "ImagePairs":
        """Return the pairs in ``rows``; where inputs are their own targets they stay so."""
        return self._map(lambda images: images[rows])

    def first(self, n_images: int) -> np.ndarray:
        """Return the first input images."""
        return self.inputs[:n_images].numpy()

    def near(self, device: torch.device) -> "ImagePairs":
        """Return the pairs on ``device`` if all of them fit there, uint8 as it is; else leave them."""
        if device.type != "cuda":
            return self
        images = {id(tensor): tensor for tensor in (self.inputs, self.targets)}.values()
        needed = sum(tensor.numel() * tensor.element_size() for tensor in images)
        free, _ = torch.cuda.mem_get_info(device)
        return self._map(lambda tensor: tensor.to(device)) if needed < ROOM_FOR_IMAGES * free else self

    def batches(
        self, batch_size: int, device: torch.device, order: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield float batches in [0, 1] on ``device``, in ``order`` (indices) or as they lie."""
        order = None if order is None else order.to(self.inputs.device)
        for rows in blocks_of(len(self) if order is None else len(order), batch_size):
            batch = self._map(lambda images, rows=rows: _take(images, rows, order, device))
            yield batch.inputs, batch.targets

    def fingerprint(self) -> str:
        """Return what changes when an image does, in hexadecimal."""
        digest = sha256()
        for images in {id(tensor): tensor for tensor in (self.inputs, self.targets)}.values():
            digest.update(f"{tuple(images.shape)} {images.dtype}".encode())
            digest.update(images.numpy().data)
        return digest.hexdigest()

    def _map(self, function) -> "ImagePairs":
        inputs = function(self.inputs)
        return ImagePairs(inputs, inputs if self.targets is self.inputs else function(self.targets))


@runtime_checkable
class ImageSource(Protocol):
    """Images that are read when they are asked for, from several threads at once."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        ...

    def __len__(self) -> int: ...

    def read(self, indices) -> np.ndarray:
        """Return the images at ``indices``, shape (n, height, width, channels)."""
        ...


@dataclass(frozen=True)
class StreamedPairs:
    """Images that are their own targets and stay in their source until their batch is due.

    Each thread reads a whole batch while the network learns from an earlier one; no more than two batches for
    each thread are in memory, however many images there are.
    """

    source: ImageSource
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, rows: slice) -> "StreamedPairs":
        """Return the pairs in ``rows``."""
        return StreamedPairs(self.source, self.rows[rows])

    def first(self, n_images: int) -> np.ndarray:
        """Return the first input images."""
        return self._read(self.rows[:n_images])

    def near(self, _device: torch.device) -> "StreamedPairs":
        """Return the same pairs: only their batches move."""
        return self

    def batches(
        self, batch_size: int, device: torch.device, order: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield float batches in [0, 1] on ``device``, in ``order`` (indices) or as they lie."""
        rows = self.rows if order is None else self.rows[order.numpy()]
        parts = (rows[part] for part in blocks_of(len(rows), batch_size))
        for images in map_in_order(self._read, parts):
            batch = to_unit(torch.from_numpy(images).to(device))
            yield batch, batch

    def fingerprint(self) -> str:
        """Return what changes when an image does, as far as the source tells without reading them all."""
        stamp = self.source.stamp() if hasattr(self.source, "stamp") else ""  # pyright: ignore
        digest = sha256(f"{len(self.source)} {tuple(self.source.shape)} {stamp}".encode())
        digest.update(np.ascontiguousarray(self.rows, np.int64).data)
        return digest.hexdigest()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        images = parse_images(self.source.read(rows))
        if images.shape[1:] == tuple(self.source.shape):
            return images
        raise DataError(
            "A source must give images of the shape that it announces",
            f"{images.shape[1:]} in place of {tuple(self.source.shape)}",
            "Check where the images lie: they may have changed.",
        )


Pairs = ImagePairs | StreamedPairs


def _take(images: torch.Tensor, rows: slice, order: torch.Tensor | None, device: torch.device):
    batch = images[rows] if order is None else images.index_select(0, order[rows])
    return to_unit(batch.to(device))
