"""What a TIFF file says of its tiles, looked at before a library written in C makes room for them."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from caescope.errors import FileFormatError
from caescope.files import decoding

TILE_WIDTH, TILE_HEIGHT = 322, 323
MOST_TILE_PIXELS = 2**26  # 8192 × 8192; scanners write 256 × 256 to 2048 × 2048
MOST_DIRECTORIES, MOST_TAGS = 1000, 1000  # of a file, and of a directory
SIZES = {3: "H", 4: "I", 16: "Q"}  # types of whole numbers, and how they are unpacked


def demand_usable_tiles(path: str) -> None:
    """Refuse a TIFF file whose tiles would not fit into memory, or whose directories form a circle.

    Other files, and TIFF files that are damaged before that is told, are left to OpenSlide.

    Raises
    ------
    FileFormatError
    """
    with decoding(path, "a slide"), Path(path).open("rb") as file:
        for width, height in _tiles(file):
            if width * height > MOST_TILE_PIXELS:
                raise FileFormatError(
                    f"{path} must have tiles of at most {MOST_TILE_PIXELS:,} pixels",
                    f"tiles of {width}×{height}",
                    "The file is damaged: fetch it again, or write it as a tiled pyramid TIFF.",
                )


def _tiles(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield width and height of the tiles of each directory, 0 where it has none."""
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16 or struct.unpack(f"{order}H", head[2:4])[0] not in (42, 43):
        return
    is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    offset = struct.unpack(f"{order}Q", head[8:])[0] if is_big else struct.unpack(f"{order}I", head[4:8])[0]
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) == MOST_DIRECTORIES:
            raise ValueError("directories without end")
        seen.add(offset)
        file.seek(offset)
        tags, offset = _directory(file, order, is_big)
        yield tags.get(TILE_WIDTH, 0), tags.get(TILE_HEIGHT, 0)


def _directory(file: BinaryIO, order: str, is_big: bool) -> tuple[dict[int, int], int]:
    """Return the whole numbers among a directory's tags, and where the next one lies; 0 for nowhere."""
    counts, entry, link = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    tags: dict[int, int] = {}
    for _ in range(min(_unpack(file, order + counts, 0), MOST_TAGS)):
        content = file.read(struct.calcsize(f"<{entry}"))
        if len(content) < struct.calcsize(f"<{entry}"):
            return tags, 0
        tag, kind, _, value = struct.unpack(order + entry, content)
        if kind in SIZES and (kind != 16 or is_big):
            tags[tag] = struct.unpack_from(order + SIZES[kind], value)[0]
    return tags, _unpack(file, order + link, 0)


def _unpack(file: BinaryIO, form: str, otherwise: int) -> int:
    content = file.read(struct.calcsize(form))
    return struct.unpack(form, content)[0] if len(content) == struct.calcsize(form) else otherwise
