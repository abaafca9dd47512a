"""A small run folder to explore, made without training, and a server for it."""

import http.client
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image

from caescope.analysis.pca import PCAMap
from caescope.cae import CAE
from caescope.data.folder import FolderSource
from caescope.explorer import open_collection
from caescope.explorer.app import make_app
from caescope.explorer.server import SETTINGS, listening
from caescope.run_folder import describe, fingerprint_source, write_record
from caescope.table import LatentTable

N, SIDE = 60, 8
NAUGHTY = "<img src=x onerror=alert(1)>"  # a label that must stay text


def make_images(folder: Path, n: int = N) -> FolderSource:
    """Write random grey images below ``folder`` and return them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{i:03d}.png" for i in range(n)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(folder / name)
    return FolderSource(folder, np.array(names))


def make_run(folder: Path, n: int = N) -> Path:
    """Write a run folder with a model, latents, a map, clusters and labels, and return it."""
    source, run = make_images(folder / "images", n), folder / "run"
    cae = CAE((SIDE, SIDE, 1), latent_features=4, filters=[4], seed=0)
    cae.save(run / "model")
    latents = cae.encoder.predict(source.load().images)
    split = np.resize(["train", "train", "test"], n)
    columns = {"age": np.linspace(20, 80, n), "site": np.resize(["north", "south"], n)}
    LatentTable(
        source.ids,
        latents,
        split,
        np.resize(["cat", "dog", NAUGHTY], n),
        PCAMap().fit_transform(latents),
        np.resize([0, 1, 2, -1], n).astype(np.int32),
        np.linspace(0, 1, n, dtype=np.float32),
        columns,
    ).write(run / "latents.parquet")
    facts = describe("images", split, {"seed": 0, "map": "tsne"}, fingerprint_source(source))
    facts |= {"source_path": str(folder / "images"), "source_options": {}, "image_shape": [SIDE, SIDE, 1]}
    write_record(run, facts, {})
    return run


@contextmanager
def served(path: Path, names=("localhost",), token: str = "secret", is_open: bool = True):
    """Serve what is explored from a thread, and yield the port."""
    with listening("127.0.0.1", 0) as listener:
        app = make_app(open_collection(path), set(names), token, is_open)
        server = uvicorn.Server(uvicorn.Config(app, **SETTINGS))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def ask(port: int, path: str, method: str = "GET", body=None, host: str | None = None, **headers):
    """Return status, headers and body of what the server answers; underscores in names become dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def change(port: int, path: str, body: bytes, method: str = "POST", **headers):
    """Ask as the server's own page does when it changes something."""
    own = {"Origin": f"http://127.0.0.1:{port}", "X_Caescope_Token": "secret"} | headers
    return ask(port, path, method, body, **{name: value for name, value in own.items() if value is not None})
