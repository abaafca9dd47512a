"""Serving an explorer on this machine: a free port, the address to open, a browser."""

import errno
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any

from caescope.errors import MissingDependencyError, OptionError
from caescope.explorer.collection import Collection
from caescope.files import printable

LOOPBACK = "127.0.0.1"
PORT = 8265
PORTS_TRIED = 20
MOST = 2**16 - 1
SETTINGS: dict[str, Any] = {
    "access_log": False,
    "backlog": 256,
    "limit_concurrency": 256,  # connections, slow ones included; others are told that the server is busy
    "log_level": "warning",
    "proxy_headers": False,
    "server_header": False,
    "timeout_graceful_shutdown": 3,  # seconds
    "timeout_keep_alive": 30,
}


def serve(
    collection: Collection,
    host: str = LOOPBACK,
    port: int = PORT,
    browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve a collection until Ctrl-C.

    Parameters
    ----------
    collection : Collection
    host : str
        An address of this machine. Any but a loopback one lets others in: who opens the page must then bring
        a token, which is part of the address that is announced.
    port : int, 0 to 65535
        If it is taken, the next free one; 0 is any.
    browser : bool
        Whether to open a browser, where there is a display.
    announce : callable
        Called with the address once the server answers.

    Raises
    ------
    MissingDependencyError
        If Starlette or uvicorn is not installed.
    OptionError
        If there is no free port, or the host is not one of this machine.
    """
    try:
        import uvicorn

        from caescope.explorer.app import make_app
    except ImportError as error:
        raise MissingDependencyError(
            "The explorer needs Starlette and uvicorn", str(error), "pip install 'caescope[explorer]'"
        ) from error
    token, is_open = secrets.token_urlsafe(24), is_loopback(host)
    with listening(host, port) as listener:
        names = {"localhost"} if is_open else {"localhost", host.lower(), socket.gethostname().lower()}
        config = uvicorn.Config(make_app(collection, names, token, is_open), **SETTINGS)
        address = address_of(listener, host, None if is_open else token)
        announce(address)  # who connects from now on waits until the server is ready
        if browser:
            Thread(target=open_browser, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at ``port``, or at the next free one.

    Raises
    ------
    OptionError
        If none of PORTS_TRIED ports is free, or the host is no address of this machine.
    """
    if not 0 <= port <= MOST:
        raise OptionError("port must be from 0 to 65535", f"port={port}", "Leave it out, or give 0 for any.")
    reason = "no port"
    for candidate in range(port, min(port + PORTS_TRIED, MOST + 1)):
        try:
            family, *_, place = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            listener = socket.create_server(place[:2], family=family, backlog=SETTINGS["backlog"])
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms
            return listener
        except OSError as error:
            reason = f"{error.strerror or error}"
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
    raise OptionError(
        f"The explorer must be able to listen at {printable(host)}, port {port} or one of the next",
        reason,
        "Give another --host or --port.",
    )


def address_of(listener: socket.socket, host: str, token: str | None) -> str:
    """Return the address to open; that of a server for all addresses names this machine."""
    port = listener.getsockname()[1]
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def open_browser(address: str) -> bool:
    """Open a browser, and tell whether there was one; none where there is no display."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return False
    return webbrowser.open(address)
