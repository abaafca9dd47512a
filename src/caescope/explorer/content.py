"""Everything that the page can ask for, by number, as bytes; None where there is no such thing."""

import json
from functools import cached_property
from typing import Any

from caescope.explorer.atlas import SIDE, THUMB, Atlas
from caescope.explorer.collection import Collection
from caescope.explorer.notes import Notes
from caescope.explorer.payload import Payload, as_bytes
from caescope.explorer.pictures import Pictures, as_png
from caescope.explorer.selecting import neighbours
from caescope.explorer.slides import Slides
from caescope.run_folder import NOTES


class Content:
    """What is shown of a collection.

    Parameters
    ----------
    collection : Collection
    """

    def __init__(self, collection: Collection):
        self.collection, self.payload = collection, Payload(collection)
        self.pictures = Pictures(collection)
        self.atlas = Atlas(self.pictures, self.payload)
        self.notes = Notes(collection.folder / NOTES, collection.table)

    @cached_property
    def slides(self) -> Slides:
        """The slides that tiles were cut from; none where the images are no tiles."""
        number = self.payload.number_of("slide")
        names = [] if number is None else self.payload.columns[number].categories or []
        return Slides(self.collection, names)

    @property
    def has_images(self) -> bool:
        """Whether originals can be shown."""
        return self.pictures.shape is not None

    @property
    def can_decode(self) -> bool:
        """Whether there are latents, and a model that makes images of them."""
        return self.collection.model is not None and bool(self.collection.table.latents.shape[1])

    def describe(self) -> dict[str, Any]:
        """Return what collection.json says, but for how it is served."""
        facts = self.payload.description | {
            "off": dict(self.collection.off),
            "slides": self.slides.describe(),
        }
        facts |= {"image": None, "atlas": None, "gone": self.collection.n_gone}
        if self.has_images:
            sides = zip(("height", "width", "channels"), self.pictures.shape or (), strict=True)
            facts["image"] = dict(sides)
            facts["atlas"] = {"thumb": THUMB, "side": SIDE, "pages": self.atlas.n_pages}
        if facts["place"] is not None and not facts["slides"]:
            facts["off"]["slides"] = "Slides cannot be shown: they are not where they were."
        return facts

    def map(self, number: int) -> bytes | None:
        """Return the positions on one map, float32, n × 2."""
        return as_bytes(self.payload.maps[number]) if number < len(self.payload.maps) else None

    def order(self, number: int) -> bytes | None:
        """Return the rows in the order of their thumbnails, uint32."""
        return as_bytes(self.atlas.order(number)) if number < len(self.payload.maps) else None

    def column(self, number: int, kind: str) -> bytes | None:
        """Return one column's values, of the type that collection.json names."""
        columns = self.payload.columns
        if number >= len(columns) or columns[number].type != kind:
            return None
        return as_bytes(columns[number].values)

    def ids(self, block: int) -> bytes | None:
        """Return the ids of one block of rows as a JSON list."""
        found = self.payload.ids(block)
        return None if found is None else json.dumps(found, ensure_ascii=False).encode()

    def latents(self, block: int) -> bytes | None:
        """Return the latents of one block of rows, float32."""
        found = self.payload.latents(block)
        return None if found is None else as_bytes(found)

    def page(self, number: int, page: int) -> bytes | None:
        """Return one page of thumbnails as PNG."""
        is_there = self.has_images and number < len(self.payload.maps) and page < self.atlas.n_pages
        return self.atlas.page(number, page) if is_there else None

    def original(self, row: int) -> bytes | None:
        """Return an image as PNG."""
        found = self.pictures.original(row) if self._is_row(row) else None
        return None if found is None else as_png(found)

    def reconstruction(self, row: int) -> bytes | None:
        """Return what the model makes of an image, as PNG."""
        return as_png(self.pictures.reconstruction(row)) if self._is_row(row) and self.can_decode else None

    def difference(self, row: int) -> bytes | None:
        """Return where the two differ, as PNG."""
        found = self.pictures.difference(row) if self._is_row(row) and self.can_decode else None
        return None if found is None else as_png(found)

    def neighbours(self, row: int) -> bytes | None:
        """Return the rows nearest in the space of the latents, and their distances, as JSON."""
        latents = self.collection.table.latents
        if not self._is_row(row) or not latents.shape[1]:
            return None
        rows, distances = neighbours(latents, row)
        return json.dumps({"rows": rows.tolist(), "distances": distances.tolist()}).encode()

    def surroundings(self, row: int) -> bytes | None:
        """Return a tile and what lies around it, as JPEG."""
        is_there = self._is_row(row) and self.slides.are_there
        return self.slides.surroundings(row) if is_there else None

    def thumbnail(self, number: int) -> bytes | None:
        """Return a slide as a small JPEG."""
        return self.slides.thumbnail(number) if number < len(self.slides.names) else None

    def piece(self, number: int, level: int, column: int, row: int) -> bytes | None:
        """Return a piece of a slide as JPEG."""
        is_there = number < len(self.slides.names)
        return self.slides.piece(number, level, column, row) if is_there else None

    def _is_row(self, row: int) -> bool:
        return row < len(self.collection)
