import gzip
import os
import pickle
import signal
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

collect_ignore = ["faults.py", "fuzzed.py", "fuzzing.py"]  # programs of their own, which tests start

matplotlib.use("Agg")
os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with MNIST and the slides beside the checkout."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the data folder {folder}")
    return folder


@pytest.fixture(scope="module")  # longer, and its event loop would be in the way of others
def browser():
    """A browser without a window."""
    from browsing import started

    with started() as browser:
        yield browser


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory) -> Path:
    """scikit-learn's 1,797 real digits, brought to 28×28 pixels, in a file such as mnist.pkl.gz."""
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    images = np.kron(digits.reshape(-1, 8, 8) / 17, np.ones((3, 3)))
    pixels = np.pad(images, [(0, 0), (2, 2), (2, 2)]).reshape(-1, 784).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(pixels))
    parts = order[:1200], order[1200:1500], order[1500:]
    path = tmp_path_factory.mktemp("mnist") / "mnist.pkl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        pickle.dump(tuple((pixels[part], labels[part]) for part in parts), file, protocol=4)
    return path


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but one pixel is written for each: drawing them is most of what a small run takes.

    For tests of numbers and words alone: odd data, odd names and slides must be seen to be drawn.
    """

    def save(_figure, path, dpi: int = 110) -> Path:
        plt.close("all")
        Image.new("L", (1, 1)).save(path, "PNG", dpi=(dpi, dpi))
        return Path(path)

    monkeypatch.setattr("caescope.plots.save_figure", save)


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, also where the tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=["reader's process", "this process"])
def in_either_process(request, monkeypatch):
    """Files are read by a process that is started to do so; and, as in a frozen program, by this one."""
    if request.param == "this process":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setattr("caescope.isolation.start", None)


def pytest_collection_modifyitems(items):
    """Let files that take minutes come first, so that no process is left with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
