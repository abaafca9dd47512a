"""Pictures of single images: the original, what the model makes of it, and where they differ."""

from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from caescope.errors import CaescopeError
from caescope.explorer.collection import GONE, Collection

if TYPE_CHECKING:
    from caescope.cae import CAE


class Pictures:
    """Reads the images of a collection, and decodes latents.

    Parameters
    ----------
    collection : Collection
    """

    def __init__(self, collection: Collection):
        self.collection = collection
        self._cae: CAE | None = None
        self._decoding = Lock()  # one at a time: a network uses all cores by itself

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of the images, or None where there are none."""
        return None if self.collection.source is None else self.collection.source.shape

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images of rows, uint8, and which of them are there, shape (n,); others are black."""
        source = self.collection.source
        assert source is not None
        images = np.zeros((len(rows), *source.shape), np.uint8)
        places = self.collection.source_rows[rows]
        there = places != GONE
        try:
            images[there] = as_uint8(source.read(places[there]))
        except (CaescopeError, OSError):
            if len(rows) == 1:
                return images, np.zeros(1, bool)
            for i in np.flatnonzero(there):  # one file that is gone must not hide the others
                images[i : i + 1], there[i : i + 1] = self.read(rows[i : i + 1])
        return images, there

    def original(self, row: int) -> np.ndarray | None:
        """Return one image, shape (height, width, channels), uint8, or None where it is gone."""
        if self.collection.source is None:
            return None
        images, there = self.read(np.array([row]))
        return images[0] if there[0] else None

    def reconstruction(self, row: int) -> np.ndarray:
        """Return what the model makes of one image, shape (height, width, channels), uint8."""
        return self.decode(self.collection.table.latents[row])

    def difference(self, row: int) -> np.ndarray | None:
        """Return where one image and its reconstruction differ, shape (height, width, 1), uint8.

        It is the mean absolute difference over the channels. None where the image is gone, or another size.
        """
        original, reconstruction = self.original(row), self.reconstruction(row)
        if original is None or original.shape != reconstruction.shape:
            return None
        difference = np.abs(original.astype(np.float32) - reconstruction).mean(axis=2, keepdims=True)
        return np.rint(difference).astype(np.uint8)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Return the image that the model makes of latents, shape (height, width, channels), uint8.

        Raises
        ------
        ModelError
            If the model cannot be read.
        """
        with self._decoding:
            cae = self._load()
            shape = (1, *cae.encoder.output_shape)
            return as_uint8(cae.decoder.predict(latents.reshape(shape).astype(np.float32)))[0]

    def _load(self) -> "CAE":
        if self._cae is None:
            from caescope.cae import CAE

            assert self.collection.model is not None
            self._cae = CAE(path=self.collection.model, load=True, device="cpu")
        return self._cae


def as_uint8(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 255]."""
    return images if images.dtype == np.uint8 else np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def as_png(image: np.ndarray) -> bytes:
    """Return an image, shape (height, width, 1, 3 or 4), uint8, as a PNG file."""
    return _encoded(image, "PNG", compress_level=1)  # higher levels take ten times as long for a few percent


def as_jpeg(image: np.ndarray) -> bytes:
    """Return an image, shape (height, width, 1 or 3), uint8, as a JPEG file."""
    return _encoded(image, "JPEG", quality=88)


def _encoded(image: np.ndarray, kind: str, **options) -> bytes:
    content = BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(content, kind, **options)
    return content.getvalue()
