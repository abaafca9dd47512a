"""The explorer as files that any web server can send."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from caescope.explorer.collection import Collection
from caescope.explorer.content import Content
from caescope.explorer.pages import static_files
from caescope.explorer.payload import BLOCK
from caescope.progress import Stages
from caescope.staging import OutputFolder
from caescope.writing import sync_tree

MOST_IMAGES = 100_000  # whose pictures are files of their own; of more there are thumbnails on the map alone
MOST_WHOLE = 5_000  # of which there is also all else that is known of one image
NO_SERVER = "A page of files cannot decode: start caescope explore on the run folder itself."
NO_DOWNLOADS = "Notes are downloaded where caescope explore runs."
NO_EXTRAS = f"Not part of an export of more than {MOST_WHOLE:,} images."
NO_PICTURES = f"There are thumbnails on the map only: this export is of more than {MOST_IMAGES:,} images."
MARK = "collection.json"


def export(
    collection: Collection,
    out: str | os.PathLike,
    *,
    overwrite: bool = False,
    verbose: int | str = "auto",
) -> Path:
    """Write the explorer of a collection into a folder, without what needs a server.

    Left out are live decoding, sorting by the distance to the medoid, changes to notes, and the deep zoom. Of
    more than MOST_WHOLE images also reconstructions, neighbours and surroundings are left out, and of more
    than MOST_IMAGES all pictures but the thumbnails on the map.

    Parameters
    ----------
    collection : Collection
    out : path-like
        A new or empty folder.
    overwrite : bool
        Whether an earlier export may be replaced.
    verbose : {"auto", 0}
        Whether to report progress on standard error.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    OptionError
        If the folder holds something else.
    OutputError
        If it cannot be written.
    """
    content, folder = Content(collection), OutputFolder(out, overwrite, mark=MARK)
    with folder.staged() as partial, Stages(verbose).stage("export", f"{len(collection):,} images"):
        for name, written in _files(content):
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written)
        sync_tree(partial)
    return folder.path


def _files(content: Content) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file."""
    yield from static_files().items()
    facts = describe(content)
    yield MARK, json.dumps(facts, ensure_ascii=False).encode()
    yield "notes.json", json.dumps(content.notes.read(), ensure_ascii=False).encode()
    yield from _of_columns(content, facts)
    yield from _of_maps(content, facts)
    if len(content.collection) <= MOST_IMAGES:
        yield from _of_rows(content, whole=len(content.collection) <= MOST_WHOLE)


def describe(content: Content) -> dict:
    """Return collection.json of an export: what it leaves out is off."""
    facts, n = content.describe() | {"static": True, "token": None}, len(content.collection)
    off = {"decode": NO_SERVER, "downloads": NO_DOWNLOADS}
    if n > MOST_WHOLE:
        off |= {"reconstructions": NO_EXTRAS, "neighbours": NO_EXTRAS}
    if n > MOST_IMAGES:
        facts["image"], off["images"] = None, NO_PICTURES
    slides = [slide | {"zoom": None} for slide in facts["slides"]]
    return facts | {"off": off | facts["off"], "slides": slides}


def _of_columns(content: Content, facts: dict) -> Iterator[tuple[str, bytes]]:
    for i, column in enumerate(facts["columns"]):
        yield from _if_there(f"columns/{i}.{column['type']}", content.column(i, column["type"]))
    for block in range(-(-facts["n"] // BLOCK)):
        yield from _if_there(f"ids/{block}.json", content.ids(block))
        yield from _if_there(f"latents/{block}.f32", content.latents(block))
    for number in range(len(facts["slides"])):
        yield from _if_there(f"slides/{number}/thumbnail.jpg", content.thumbnail(number))


def _of_maps(content: Content, facts: dict) -> Iterator[tuple[str, bytes]]:
    for number in range(len(facts["maps"])):
        yield from _if_there(f"maps/{number}.f32", content.map(number))
        yield from _if_there(f"order/{number}.u32", content.order(number))
        for page in range(facts["atlas"]["pages"] if facts["atlas"] else 0):
            yield from _if_there(f"atlas/{number}/{page}.png", content.page(number, page))


def _of_rows(content: Content, whole: bool) -> Iterator[tuple[str, bytes]]:
    for row in range(len(content.collection)):
        yield from _if_there(f"images/{row}.png", content.original(row))
        if whole:
            yield from _if_there(f"reconstructions/{row}.png", content.reconstruction(row))
            yield from _if_there(f"differences/{row}.png", content.difference(row))
            yield from _if_there(f"neighbours/{row}.json", content.neighbours(row))
            yield from _if_there(f"surroundings/{row}.jpg", content.surroundings(row))


def _if_there(name: str, content: bytes | None) -> Iterator[tuple[str, bytes]]:
    if content is not None:
        yield name, content
