"""Who may ask the explorer's server for what."""

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from caescope.explorer import guard
from explored import ask, change, make_run, served

SECRET = b"what nobody may read"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explored")
    run = make_run(folder)
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "run-beside").mkdir()
    (folder / "run-beside" / "secret.txt").write_bytes(SECRET)
    (run / "secret.txt").write_bytes(SECRET)
    (run / "link.png").symlink_to(folder / "secret.txt")
    return run


@pytest.fixture(scope="module")
def port(run):
    with served(run) as port:
        yield port


@pytest.fixture(scope="module")
def guarded(run):
    """The port of a server at an address that others can reach: who reads needs the token, too."""
    with served(run, is_open=False) as port:
        yield port


def raw(port: int, text: bytes, seconds: float = 30) -> bytes:
    """Send bytes as they are, and return what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(text)
        answer = b""
        with suppress(ConnectionResetError):  # it need not have read all that was sent
            while piece := connection.recv(65536):
                answer += piece
        return answer


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:{port}", "localhost", "LOCALHOST:{port}", "[::1]:{port}"]
)
def test_its_own_names_are_answered(port, host):
    assert ask(port, "/collection.json", host=host.format(port=port))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "localhost.",
        "xn--localhost-",
        "",
    ],
)
def test_a_foreign_host_is_refused_which_stops_dns_rebinding(port, host):
    status, _, content = ask(port, "/collection.json", host=host.format(port=port) or " ")
    assert (status, content) == (403, b"This server answers to its own name only.\n")


def test_a_request_with_two_hosts_or_none_is_refused(port):
    two = raw(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    none = raw(port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    old = raw(port, b"GET / HTTP/1.0\r\n\r\n")
    assert [answer.split()[1] for answer in (two, none)] == [b"400", b"400"]
    assert old.split()[1] == b"403"


def test_what_a_proxy_says_of_the_host_does_not_count(port):
    forwarded = {"X_Forwarded_Host": "localhost", "Forwarded": "host=localhost"}
    assert ask(port, "/", host="evil.example", **forwarded)[0] == 403


def test_a_host_in_the_request_line_does_not_count(port):
    text = b"GET http://localhost/collection.json HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert raw(port, text).split()[1] == b"403"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": None}, b"own page"),
        ({"Origin": "http://evil.example"}, b"own page"),
        ({"Origin": "null"}, b"own page"),
        ({"Origin": "https://127.0.0.1:{port}"}, b"own page"),
        ({"Origin": "http://127.0.0.1"}, b"own page"),
        ({"Origin": "http://localhost:{port}"}, b"own page"),
        ({"Origin": None, "Sec_Fetch_Site": "cross-site"}, b"own page"),
        ({"Origin": None, "Sec_Fetch_Site": "same-site"}, b"own page"),
        ({"X_Caescope_Token": None}, b"token"),
        ({"X_Caescope_Token": "other"}, b"token"),
        ({"X_Caescope_Token": ""}, b"token"),
        ({"X_Caescope_Token": "secr\u00e9t"}, b"token"),
    ],
)
@pytest.mark.parametrize(
    ("path", "method"), [("/notes.json", "PUT"), ("/decode", "POST"), ("/medoid", "POST")]
)
def test_a_change_needs_the_page_itself_and_its_token(port, path, method, headers, why):
    given = {name: value and value.format(port=port) for name, value in headers.items()}
    status, _, content = change(port, path, b"{}", method, **given)
    assert status == 403
    assert why in content


def test_a_browser_that_names_no_origin_may_say_that_it_is_the_same(port):
    body = json.dumps({"revision": 99}).encode()
    headers = {"Origin": None, "Sec_Fetch_Site": "same-origin"}
    assert change(port, "/notes.json", body, "PUT", **headers)[0] == 409


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%252e%252e%252fsecret.txt",
        "/images/../secret.txt",
        "/images/%2e%2e/%2e%2e/secret.txt",
        "/images/../../run-beside/secret.txt",
        "/../run-beside/secret.txt",
        "/run-beside/secret.txt",
        "/secret.txt",
        "/link.png",
        "/images/link.png",
        "/notes.json/../secret.txt",
        "/notes.json%00.png",
        "/images/1.png%00",
        "//etc/passwd",
        "/etc/passwd",
        "/C:/Windows/win.ini",
        "/run.yaml",
        "/model/params.yaml",
        "/latents.parquet",
        "/atlas/0/../../secret.txt",
        "/static/main.js",
        "/__init__.py",
        "/columns/0.u8/../../secret.txt",
        "/columns/0.%2e%2e%2fsecret",
    ],
)
def test_no_path_reaches_the_disk(port, path):
    status, _, content = ask(port, path)
    assert status == 404
    assert SECRET not in content
    assert b"root:" not in content


@pytest.mark.parametrize(
    "path",
    [
        "/images/60.png",
        "/images/-1.png",
        "/images/1e1.png",
        "/images/0x1.png",
        "/images/%D9%A1.png",
        "/images/.png",
    ]
    + [f"/images/{'9' * n}.png" for n in (10, 11, 5000)]
    + ["/maps/9.f32", "/order/9.u32", "/columns/99.f32", "/columns/0.f32", "/columns/0.js", "/ids/1.json"]
    + ["/latents/1.f32", "/atlas/9/0.png", "/atlas/0/1.png", "/reconstructions/60.png", "/differences/60.png"]
    + ["/neighbours/60.json", "/surroundings/0.jpg", "/slides/0/thumbnail.jpg", "/slides/0/zoom/0/0_0.jpg"],
)
def test_numbers_of_what_is_not_there_are_not_found(port, path):
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/collection.json", "/images/0.png", "/main.js"])
def test_what_is_read_takes_no_other_method(port, path, method):
    assert change(port, path, b"", method)[0] == 405


@pytest.mark.parametrize(
    ("path", "method"), [("/notes.json", "DELETE"), ("/notes.json", "POST"), ("/decode", "PUT")]
)
def test_what_is_changed_takes_its_own_method_only(port, path, method):
    assert change(port, path, b"{}", method)[0] == 405


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/style.css", "/collection.json", "/images/0.png", "/nothing"]
)
@pytest.mark.parametrize("host", [None, "evil.example"])
def test_every_answer_says_what_a_page_may_do(port, path, host):
    headers = ask(port, path, host=host)[1]
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_the_page_has_no_inline_script_or_style(port):
    page = ask(port, "/")[2].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in page.replace(" on the", "").split("<body>")[0]
    assert page.count("<script") == page.count('<script type="module" src="main.js"></script>') == 1


def test_a_body_that_announces_too_much_is_refused_before_it_comes(port):
    head = f"PUT /notes.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head += f"X-Caescope-Token: secret\r\nContent-Length: {guard.MOST_BYTES + 1}\r\n\r\n"
    assert raw(port, head.encode()).split()[1] == b"413"


def test_a_body_that_grows_too_long_is_refused(port):
    head = f"PUT /notes.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head += "X-Caescope-Token: secret\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        for _ in range(16):
            connection.sendall(piece)
        connection.sendall(b"1\r\n ")
        assert connection.recv(100).split()[1] == b"413"


def test_a_body_that_comes_too_slowly_is_given_up(port, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    head = f"PUT /notes.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head += "X-Caescope-Token: secret\r\nContent-Length: 10\r\n\r\n{"
    assert raw(port, head.encode()).split()[1] == b"408"


def test_clients_that_say_nothing_do_not_keep_others_waiting(port):
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for connection in silent:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
    try:
        start = time.monotonic()
        assert ask(port, "/collection.json")[0] == 200
        assert time.monotonic() - start < 10
    finally:
        for connection in silent:
            connection.close()


def test_too_long_headers_are_refused(port):
    answer = raw(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")
    assert answer == b"" or answer.split()[1] == b"400"
    assert ask(port, "/")[0] == 200


def test_a_web_socket_is_refused(port):
    head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert b"101" not in connection.recv(100).split(b"\r\n")[0]


def test_fifty_clients_that_ask_for_thumbnails_at_once_all_get_them(port):
    paths = ["/atlas/0/0.png", "/atlas/1/0.png", *(f"/images/{i}.png" for i in range(48))]
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda path: ask(port, path)[0], paths))
    assert statuses == [200] * 50


@pytest.mark.parametrize("path", ["/", "/collection.json", "/images/0.png", "/?token=", "/?token=other"])
def test_without_the_token_nothing_is_read(guarded, path):
    status, _, content = ask(guarded, path)
    assert status == 403
    assert b"token" in content


def test_the_printed_address_puts_the_token_into_a_cookie(guarded):
    status, headers, _ = ask(guarded, "/?token=secret")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ask(guarded, "/collection.json", Cookie=cookie.split(";")[0])[0] == 200


@pytest.mark.parametrize(
    "cookie", ["caescope-1=secret", "caescope-{port}=other", "caescope-{port}", "=;=;", "a" * 5000]
)
def test_other_cookies_do_not_help(guarded, cookie):
    assert ask(guarded, "/collection.json", Cookie=cookie.format(port=guarded))[0] == 403


def test_a_cookie_alone_changes_nothing(guarded):
    cookie = f"caescope-{guarded}=secret"
    status, _, content = change(guarded, "/notes.json", b"{}", "PUT", X_Caescope_Token=None, Cookie=cookie)
    assert status == 403
    assert b"page's token" in content


def test_a_foreign_host_is_refused_with_the_token(guarded):
    assert ask(guarded, "/?token=secret", host="evil.example")[0] == 403


def test_a_query_of_many_fields_is_no_token(guarded):
    assert ask(guarded, "/?" + "a&" * 2000 + "token=secret")[0] == 403


def sent_by_the_guard(scope, *received):
    """Return what the guard sends, for requests that this server does not make."""
    sent, incoming = [], iter(received)

    async def app(_scope, receive, _send):
        sent.append(await receive())
        sent.append(await receive())

    async def receive():
        return next(incoming)

    async def send(message):
        sent.append(message)

    guarded = guard.Guard(app, {"localhost"}, "secret", is_open=True)
    asyncio.run(guarded(scope, receive, send))
    return sent


def test_a_web_socket_is_closed_before_it_is_open():
    assert sent_by_the_guard({"type": "websocket"}) == [{"type": "websocket.close", "code": 1008}]


def test_the_server_s_own_messages_pass():
    assert sent_by_the_guard({"type": "lifespan"}, "start", "stop") == ["start", "stop"]


def test_after_a_whole_body_messages_pass():
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "server": ("localhost", 1)}
    scope["headers"] = [(b"host", b"localhost")]
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    assert sent_by_the_guard(scope, *messages) == messages


def test_a_cookie_that_is_none_is_no_token(guarded):
    assert ask(guarded, "/", Cookie="a,b=secret")[0] == 403
