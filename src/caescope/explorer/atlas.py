"""Pages of thumbnails, in the order in which images lie on a map; made when they are asked for, and kept."""

from collections import OrderedDict
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from threading import Lock

import numpy as np
from PIL import Image

from caescope.errors import OutputError
from caescope.explorer.collection import GONE
from caescope.explorer.payload import Payload, as_bytes
from caescope.explorer.pictures import Pictures, as_png
from caescope.writing import write_atomically

THUMB = 32  # pixels along a thumbnail's side
SIDE = 32  # thumbnails along a page's side
CELLS = SIDE * SIDE
GRID_BITS = 16  # of each coordinate that is woven into the order
BACKGROUND, CROSS = 0, 96  # grey levels of the margin and of the mark for a missing image
MOST_IN_MEMORY = 64  # pages, a megabyte each or less
VERSION = 1  # of how pages look; those of others are made anew


class Atlas:
    """The thumbnails of a collection.

    A page is a PNG of SIDE × SIDE thumbnails. On the way from one to the next, images stay near each other on
    the map, so that the part of it that fills a screen needs few pages.

    Parameters
    ----------
    pictures : Pictures
    payload : Payload
        Whose maps they are ordered by.
    """

    def __init__(self, pictures: Pictures, payload: Payload):
        self.pictures, self.payload = pictures, payload
        self._orders: dict[int, np.ndarray] = {}
        self._recent: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._locks: dict[tuple[int, int], Lock] = {}
        self._lock = Lock()

    @property
    def n_pages(self) -> int:
        """How many pages each map has."""
        return -(-len(self.payload.collection) // CELLS)

    def order(self, number: int) -> np.ndarray:
        """Return the rows in the order of their thumbnails for one map, shape (n,), uint32."""
        if number not in self._orders:
            self._orders[number] = along_curve(self.payload.maps[number])
        return self._orders[number]

    def page(self, number: int, page: int) -> bytes:
        """Return one page for one map as a PNG file."""
        key = number, page
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
            lock = self._locks.setdefault(key, Lock())
        with lock:  # who asks for a page that is being made waits for it
            content = self._recent.get(key) or self._stored(key) or self._made(key)
        with self._lock:
            self._recent[key] = content
            while len(self._recent) > MOST_IN_MEMORY:
                self._locks.pop(self._recent.popitem(last=False)[0], None)
        return content

    def _stored(self, key: tuple[int, int]) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def _made(self, key: tuple[int, int]) -> bytes:
        number, page = key
        rows = self.order(number)[page * CELLS : (page + 1) * CELLS]
        content = as_png(draw_page(*self.pictures.read(rows)))
        with suppress(OutputError, OSError):  # a folder that cannot be written is no reason to show nothing
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        return content

    def _path(self, key: tuple[int, int]):
        return self.payload.collection.folder / "explorer" / f"{self._digest[key[0]]}-{key[1]:05d}.png"

    @cached_property
    def _digest(self) -> list[str]:
        """What tells the pages of each map from those of other images, maps or versions."""
        collection = self.payload.collection
        assert collection.source is not None
        stamp = getattr(collection.source, "stamp", lambda: "in memory")()
        missing = sha256((collection.source_rows == GONE).tobytes()).hexdigest()
        facts = f"{VERSION} {THUMB} {SIDE} {collection.source!r} {stamp} {missing}".encode()
        orders = (as_bytes(self.order(number)) for number in range(len(self.payload.maps)))
        return [sha256(facts + order).hexdigest()[:16] for order in orders]


def along_curve(points: np.ndarray) -> np.ndarray:
    """Return rows so that neighbours on a map mostly follow each other, shape (n,), uint32.

    The order is that of a Z-shaped curve through a grid of 2¹⁶ × 2¹⁶ cells; rows that are nowhere come last.

    References
    ----------
    Morton, "A computer oriented geodetic data base and a new technique in file sequencing", IBM, 1966.

    Examples
    --------
    >>> along_curve(np.array([[0.0, 0.0], [9.0, 9.0], [1.0, 0.0], [0.0, 9.0]])).tolist()
    [0, 2, 3, 1]
    """
    known = np.isfinite(points).all(axis=1)
    codes = np.full(len(points), np.iinfo(np.uint64).max, np.uint64)
    if known.any():
        low, high = points[known].min(axis=0), points[known].max(axis=0)
        span = np.maximum((high - low).astype(np.float64), np.finfo(np.float32).tiny)
        cells = ((points[known] - low) / span * (2**GRID_BITS - 1)).astype(np.uint64)
        codes[known] = _spread(cells[:, 0]) | (_spread(cells[:, 1]) << np.uint64(1))
    return np.argsort(codes, kind="stable").astype(np.uint32)


def _spread(bits: np.ndarray) -> np.ndarray:
    """Return numbers with a zero put before each of their lower 16 bits."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
    return bits


def draw_page(images: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return up to CELLS images as thumbnails on one picture, row by row; a cross where one is missing.

    Parameters
    ----------
    images : numpy.ndarray, shape (n, height, width, channels), uint8
    there : numpy.ndarray, shape (n,), bool

    Returns
    -------
    numpy.ndarray, shape (SIDE · THUMB, SIDE · THUMB, channels), uint8
    """
    page = np.full((SIDE * THUMB, SIDE * THUMB, images.shape[3]), BACKGROUND, np.uint8)
    for i, (image, is_there) in enumerate(zip(images, there.tolist(), strict=True)):
        top, left = (THUMB * place for place in divmod(i, SIDE))
        cell = shrink(image) if is_there else _crossed(images.shape[3])
        margins = [(THUMB - side) // 2 for side in cell.shape[:2]]
        y, x = top + margins[0], left + margins[1]
        page[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return page


def shrink(image: np.ndarray) -> np.ndarray:
    """Return an image as a thumbnail, its longer side THUMB pixels; small ones become whole times larger.

    >>> shrink(np.zeros((28, 28, 1), np.uint8)).shape, shrink(np.zeros((8, 8, 1), np.uint8)).shape
    ((28, 28, 1), (32, 32, 1))
    """
    longer = max(image.shape[:2])
    if longer <= THUMB:
        return image.repeat(THUMB // longer, axis=0).repeat(THUMB // longer, axis=1)
    width, height = (max(1, round(side * THUMB / longer)) for side in (image.shape[1], image.shape[0]))
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX)).reshape(height, width, -1)


def _crossed(channels: int) -> np.ndarray:
    lines = np.eye(THUMB, dtype=bool) | np.eye(THUMB, dtype=bool)[::-1]
    return np.where(lines[..., None], CROSS, BACKGROUND).astype(np.uint8).repeat(channels, axis=2)
