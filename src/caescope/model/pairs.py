"""Images and what they should become, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from caescope.parallel import blocks_of

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
        for rows in blocks_of(len(self), batch_size):
            batch = self._map(lambda images, rows=rows: _take(images, rows, order, device))
            yield batch.inputs, batch.targets

    def _map(self, function) -> "ImagePairs":
        inputs = function(self.inputs)
        return ImagePairs(inputs, inputs if self.targets is self.inputs else function(self.targets))


def _take(images: torch.Tensor, rows: slice, order: torch.Tensor | None, device: torch.device):
    batch = images[rows] if order is None else images.index_select(0, order[rows])
    batch = batch.to(device)
    return batch / 255 if batch.dtype == torch.uint8 else batch
