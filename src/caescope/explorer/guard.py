"""Who may ask for what: the part of the server that all requests pass first."""

import asyncio
import hmac
from collections.abc import Collection as Names
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 * 2**20  # of a request's body
PATIENCE = 10  # seconds in which a body must have come
TOKEN_HEADER = "x-caescope-token"
SAFE = ("GET", "HEAD")
CLOSE = {"connection": "close"}
HEADERS = {
    "cache-control": "no-store",  # the next run at this port has other images at the same addresses
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Refuses requests that a page of somebody else could have made, and bodies that are too long or slow.

    Parameters
    ----------
    app : ASGI application
    names : collection of str
        Host names that requests may be addressed to, in lower case. This is what stops DNS rebinding: a page
        of another site can make its own name lead here, but not ours. Addresses in numbers are no names, and
        always allowed.
    token : str
        What requests that change something must bring in a header.
    is_open : bool
        Whether who reads needs no token; else it is in the address first, and then in a cookie.
    """

    def __init__(self, app: ASGIApp, names: Names[str], token: str, is_open: bool):
        self.app, self.names, self.token, self.is_open = app, names, token, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":  # a WebSocket; closing it before it is accepted refuses it
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = Headers(scope=scope)
            app = self._refuse(scope, headers) or self._welcome(scope) or self.app
            with suppress(ClientDisconnect):
                await app(scope, _Body(receive, headers).receive, _with_headers(send))

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """Return why a request is refused, or None."""
        if not self._is_ours(headers.getlist("host")):
            return _say(403, "This server answers to its own name only.")
        if not self.is_open and not self._brings_token(scope, headers):
            return _say(403, "This server needs the token that is in the address it printed.")
        if scope["method"] in SAFE:
            return None
        if not _is_same_origin(scope, headers):
            return _say(403, "A request that changes something must come from the server's own page.")
        if not self._is_token(headers.get(TOKEN_HEADER, "")):
            return _say(403, "A request that changes something must bring the page's token: reload the page.")
        return None

    def _welcome(self, scope: Scope) -> Response | None:
        """Return a redirection that puts the token of the address into a cookie, or None."""
        given = _query_token(scope)
        if scope["path"] != "/" or not self._is_token(given):
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(_cookie_name(scope), given, httponly=True, samesite="strict")
        return response

    def _is_ours(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _name_in(hosts[0])
        return name in self.names or _is_address(name)

    def _brings_token(self, scope: Scope, headers: Headers) -> bool:
        given = (headers.get(TOKEN_HEADER, ""), _query_token(scope), _cookie(scope, headers))
        return any(self._is_token(token) for token in given)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


class _Body:
    """A request's body, refused where it is too long or comes too slowly: the application answers so."""

    def __init__(self, receive: Receive, headers: Headers):
        self._receive, self._size, self._is_whole = receive, 0, False
        announced = headers.get("content-length", "0")
        self._announced = int(announced) if announced.isdecimal() and len(announced) < 20 else MOST_BYTES + 1
        self._end = asyncio.get_running_loop().time() + PATIENCE

    async def receive(self) -> Message:
        if self._announced > MOST_BYTES:
            raise _too_long()
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"A request must be whole within {PATIENCE} seconds.\n", CLOSE) from None
        self._size += len(message.get("body", b""))
        if self._size > MOST_BYTES:
            raise _too_long()
        self._is_whole = not message.get("more_body", False)
        return message


def _too_long() -> HTTPException:
    return HTTPException(413, f"A request may hold at most {MOST_BYTES:,} bytes.\n", CLOSE)


def _with_headers(send: Send) -> Send:
    """Return ``send`` with the headers that every answer has."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending


def _say(status: int, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status, CLOSE)


def _name_in(host: str) -> str:
    """Return the name in a Host header, without its port.

    >>> _name_in("LocalHost:8000"), _name_in("[::1]:80"), _name_in("evil.example")
    ('localhost', '::1', 'evil.example')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(scope: Scope, headers: Headers) -> bool:
    """Tell whether a browser says that the request comes from a page of this very server."""
    if (origin := headers.get("origin")) is not None:
        return origin.lower() == f"{scope['scheme']}://{headers['host'].lower()}"
    return headers.get("sec-fetch-site") == "same-origin"


def _query_token(scope: Scope) -> str:
    try:
        fields = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8)
    except ValueError:
        return ""
    return fields.get("token", [""])[0]


def _cookie_name(scope: Scope) -> str:
    return f"caescope-{(scope.get('server') or ('', 0))[1]}"  # cookies are shared by all ports of a host


def _cookie(scope: Scope, headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    name = _cookie_name(scope)
    return cookies[name].value if name in cookies else ""
