"""The explorer's addresses, and what is behind each."""

import json
import secrets
from collections.abc import Callable
from collections.abc import Collection as Names
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from caescope.errors import CaescopeError, DataError
from caescope.explorer.collection import Collection
from caescope.explorer.content import Content
from caescope.explorer.exports import EXPORTS, file_name
from caescope.explorer.guard import Guard
from caescope.explorer.pages import static_files
from caescope.explorer.payload import as_bytes
from caescope.explorer.pictures import as_png
from caescope.explorer.selecting import from_the_medoid

BINARY = "application/octet-stream"
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "json": "application/json",
}


class _Number(Convertor[int]):
    """A row, a page or a level in an address: digits, and not so many that they take long to read."""

    regex = "[0-9]{1,10}"

    def convert(self, value: str) -> int:
        return int(value)


register_url_convertor("number", _Number())


def make_app(
    collection: Collection, names: Names[str], token: str | None = None, is_open: bool = True
) -> Guard:
    """Return the explorer as an ASGI application.

    Parameters
    ----------
    collection : Collection
    names : collection of str
        Host names that it answers to, beside addresses in numbers.
    token : str, optional
        What requests that change something bring; by default a random one, which the page is told.
    is_open : bool
        Whether who only reads needs no token.
    """
    content, token = Content(collection), token or secrets.token_urlsafe(24)
    routes = [*_page_routes(), *_content_routes(content), *_notes_routes(content), *_question_routes(content)]
    routes.append(Route("/collection.json", _describing(content, token)))
    handlers: Any = {CaescopeError: _say_error}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), names, token, is_open)


def _page_routes() -> list[Route]:
    """Return the addresses of the page's own files, which are read once: no address leads to the disk."""
    pages = {f"/{name}": _file(content, name) for name, content in static_files().items()}
    return [Route(path, page) for path, page in {**pages, "/": pages["/index.html"]}.items()]


def _file(content: bytes, name: str) -> Callable:
    async def answer(_request: Request) -> Response:
        return Response(content, headers={"content-type": TYPES[name.rpartition(".")[2]]})

    return answer


def _content_routes(content: Content) -> list[Route]:
    producers = {
        "/maps/{number:number}.f32": content.map,
        "/order/{number:number}.u32": content.order,
        "/columns/{number:number}.{kind}": content.column,
        "/ids/{block:number}.json": content.ids,
        "/latents/{block:number}.f32": content.latents,
        "/atlas/{number:number}/{page:number}.png": content.page,
        "/images/{row:number}.png": content.original,
        "/reconstructions/{row:number}.png": content.reconstruction,
        "/differences/{row:number}.png": content.difference,
        "/surroundings/{row:number}.jpg": content.surroundings,
        "/neighbours/{row:number}.json": content.neighbours,
        "/slides/{number:number}/thumbnail.jpg": content.thumbnail,
        "/slides/{number:number}/zoom/{level:number}/{column:number}_{row:number}.jpg": content.piece,
    }
    return [Route(path, _producing(produce)) for path, produce in producers.items()]


def _producing(produce: Callable[..., bytes | None]) -> Callable:
    def answer(request: Request) -> Response:
        found = produce(**request.path_params)
        if found is None:
            return PlainTextResponse("There is no such thing here.\n", 404)
        kind = TYPES.get(request.url.path.rpartition(".")[2], BINARY)
        return Response(found, headers={"content-type": kind})

    return answer


def _describing(content: Content, token: str) -> Callable:
    def answer(_request: Request) -> Response:
        return JSONResponse(content.describe() | {"static": False, "token": token})

    return answer


def _notes_routes(content: Content) -> list[Route]:
    def read(_request: Request) -> Response:
        return JSONResponse(content.notes.read())

    async def write(request: Request) -> Response:
        given = _parse_json(await request.body())
        is_written = await run_in_threadpool(content.notes.write, given)
        return JSONResponse(content.notes.read(), 200 if is_written else 409)

    def exporting(name: str) -> Callable:
        def export(_request: Request) -> Response:
            found = EXPORTS[name](content)
            headers = {"content-disposition": f'attachment; filename="{file_name(name, found)}"'}
            return Response(found, headers=headers, media_type=BINARY)

        return export

    exports = [Route(f"/{name}", exporting(name)) for name in EXPORTS]
    return [Route("/notes.json", read), Route("/notes.json", write, methods=["PUT"]), *exports]


def _question_routes(content: Content) -> list[Route]:
    async def decode(request: Request) -> Response:
        n = content.collection.table.latents.shape[1]
        latents = _parse_values(await request.body(), "<f4")
        if not content.can_decode or len(latents) != n or not np.isfinite(latents).all():
            raise DataError(
                "Latents must be finite, and as many as the model has", "others", "Reload the page."
            )
        image = await run_in_threadpool(content.pictures.decode, latents)
        return Response(as_png(image), media_type="image/png")

    async def medoid(request: Request) -> Response:
        latents, rows = content.collection.table.latents, _parse_values(await request.body(), "<u4")
        if not len(rows) or rows.max() >= len(latents) or not latents.shape[1]:
            raise DataError("Rows must be those of images with latents", "others", "Reload the page.")
        sorted_rows = await run_in_threadpool(from_the_medoid, latents, rows)
        return Response(as_bytes(sorted_rows), media_type=BINARY)

    return [Route("/decode", decode, methods=["POST"]), Route("/medoid", medoid, methods=["POST"])]


def _parse_values(body: bytes, dtype: str) -> np.ndarray:
    if len(body) % np.dtype(dtype).itemsize:
        raise DataError("A list of numbers must have whole numbers of bytes", f"{len(body)} bytes", "Reload.")
    return np.frombuffer(body, dtype)


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError("Notes must come as JSON", type(error).__name__, "Reload the page.") from None


def _say_error(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 400 if isinstance(error, ValueError) else 500)
