import gzip
import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from caescope.data import load_digits, load_mnist, named
from caescope.errors import FileFormatError, OutputError


def to_idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


CONTENTS = {
    "train-images-idx3-ubyte": to_idx(np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)),
    "train-labels-idx1-ubyte": to_idx(np.array([5, 0, 4, 1, 9], np.uint8)),
    "t10k-images-idx3-ubyte": to_idx(np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4)),
    "t10k-labels-idx1-ubyte": to_idx(np.array([7, 2], np.uint8)),
}
GOOD = {f"/{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}


@pytest.fixture
def small_mnist(monkeypatch):
    """A data set of seven images in MNIST's place, with checksums of its own and no mirror."""
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(named, "MNIST_FILES", checksums)
    monkeypatch.setattr(named, "MNIST_MIRRORS", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@contextmanager
def mirror(files):
    """Serve ``files`` (path to bytes) on loopback; yields the address and the list of paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join(timeout=5)


def assert_small_mnist(loaded):
    (X_train, y_train), (X_test, y_test) = loaded
    assert (X_train.shape, X_test.shape) == ((5, 4, 4, 1), (2, 4, 4, 1))
    assert X_train.dtype == np.uint8
    assert y_train.dtype == np.int64
    assert (y_train.tolist(), y_test.tolist()) == ([5, 0, 4, 1, 9], [7, 2])


def test_digits():
    source = load_digits()
    assert source.images.shape == (1797, 8, 8, 1)
    assert source.images.dtype == np.float32
    assert (source.images.min(), source.images.max()) == (0, 1)
    assert source.labels[:5].tolist() == [0, 1, 2, 3, 4]
    assert source.split is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_cache_is_enough(small_mnist, tmp_path, suffix):
    for name, content in CONTENTS.items():
        (tmp_path / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    assert_small_mnist(load_mnist(tmp_path, download=False))


def test_files_are_fetched_once_and_kept(small_mnist, tmp_path, monkeypatch):
    with mirror(GOOD) as (address, asked):
        monkeypatch.setattr(named, "MNIST_MIRRORS", (address,))
        assert_small_mnist(load_mnist(tmp_path / "new" / "cache"))
        assert_small_mnist(load_mnist(tmp_path / "new" / "cache"))
        assert asked == list(GOOD)
    assert sorted(path.name for path in (tmp_path / "new" / "cache").iterdir()) == sorted(p[1:] for p in GOOD)
    assert_small_mnist(load_mnist(tmp_path / "new" / "cache", download=False))


BROKEN = {
    "404": {},
    "wrong checksum": {path: gzip.compress(b"something else") for path in GOOD},
    "no gzip": dict.fromkeys(GOOD, b"<html>please log in</html>"),
    "cut off": {path: content[:-10] for path, content in GOOD.items()},
    "endless": dict.fromkeys(GOOD, bytes(2**20)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_next_mirror_helps_out(small_mnist, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(named, "MAX_BYTES", 2**16)
    with mirror(BROKEN[fault]) as (bad, asked), mirror(GOOD) as (good, _):
        monkeypatch.setattr(named, "MNIST_MIRRORS", (bad, good))
        assert_small_mnist(load_mnist(tmp_path))
        assert asked == list(GOOD)


@pytest.mark.parametrize("fault", BROKEN)
def test_when_no_mirror_is_right_nothing_is_written(small_mnist, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(named, "MAX_BYTES", 2**16)
    with mirror(BROKEN[fault]) as (bad, _):
        monkeypatch.setattr(named, "MNIST_MIRRORS", (bad,))
        with pytest.raises(
            FileFormatError, match=f"no answer from {bad}.*train-images-idx3-ubyte.gz, train-labels"
        ):
            load_mnist(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_mirror(small_mnist, tmp_path, monkeypatch):
    with mirror(GOOD) as (gone, _):
        pass
    monkeypatch.setattr(named, "MNIST_MIRRORS", (gone,))
    with pytest.raises(FileFormatError, match=f"{gone}.*refused"):
        load_mnist(tmp_path)


def test_a_mirror_that_trickles_is_given_up(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(named, "DEADLINE_SECONDS", -1)
    with mirror(GOOD) as (address, _):
        monkeypatch.setattr(named, "MNIST_MIRRORS", (address,))
        with pytest.raises(FileFormatError, match="bytes or minutes"):
            load_mnist(tmp_path)


def test_offline_one_sentence_says_where_to_put_the_files(tmp_path):
    with pytest.raises(FileFormatError, match=r"must be in .*. Received no ") as caught:
        load_mnist(tmp_path / "none", download=False)
    message = str(caught.value)
    assert all(f"{name}.gz" in message for name in CONTENTS)
    assert str(tmp_path / "none") in message
    assert "CAESCOPE_CACHE" in message
    assert "\n" not in message
    assert not (tmp_path / "none").exists()


def test_a_changed_file_in_the_cache_is_refused(small_mnist, tmp_path):
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(to_idx(np.array([7, 3], np.uint8)))
    with pytest.raises(
        FileFormatError, match=r"must be MNIST's t10k-labels-idx1-ubyte, with SHA-256.*Delete it"
    ):
        load_mnist(tmp_path)


def test_a_cache_that_cannot_be_written(small_mnist, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with mirror(GOOD) as (address, _):
        monkeypatch.setattr(named, "MNIST_MIRRORS", (address,))
        with pytest.raises(OutputError, match=r"must be writable\. .*\((Not a directory|File exists)\)"):
            load_mnist(tmp_path / "file")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("CAESCOPE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named.default_cache() == tmp_path / ".cache" / "caescope" / "mnist"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert named.default_cache() == tmp_path / "xdg" / "caescope" / "mnist"
    monkeypatch.setenv("CAESCOPE_CACHE", str(tmp_path / "mine"))
    assert named.default_cache() == tmp_path / "mine"


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(_):
        raise KeyboardInterrupt("Ctrl-C")

    monkeypatch.setattr("caescope.writing.os.fsync", fail)
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"):
        named.write_atomically(tmp_path / "a.gz", b"abc")
    assert list(tmp_path.iterdir()) == []


def test_mirrors_are_many_and_encrypted():
    assert len(named.MNIST_MIRRORS) >= 3
    assert all(address.startswith("https://") and address.endswith("/") for address in named.MNIST_MIRRORS)


def test_the_real_files(shared_data):
    """They pass our SHA-256, and their MD5 is the published one: so ours is that of the real MNIST."""
    (X_train, y_train), (X_test, y_test) = load_mnist(shared_data / "mnist", download=False)
    assert (X_train.shape, X_test.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
    published = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    }
    for name, md5 in published.items():
        content = gzip.decompress((shared_data / "mnist" / f"{name}.gz").read_bytes())
        assert hashlib.md5(content).hexdigest() == md5
