"""The same seed gives the same files, whoever asks for them, from wherever, and whatever else is going on."""

import json
import os
import random
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from threadpoolctl import threadpool_limits

from caescope import CAE
from caescope.analysis import tsne
from caescope.analysis.clustering import kmeans
from caescope.data import find_source
from caescope.pipeline import run

N_IMAGES = 150
QUICK = {"epochs": 2, "latent_features": 4, "filters": (4,), "clusters": 3, "stability": 2, "models": 2}
QUICK |= {"verbose": 0, "device": "cpu"}

# What a new process does; where it says so, in a thread of it, or in a process that it starts
ELSEWHERE = """
import json, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np

from caescope.pipeline import run


def work(file, out, options):
    with np.load(file) as given:
        run(given["images"], out, labels=given["labels"], **json.loads(options))


if __name__ == "__main__":
    place, *job = sys.argv[1:]
    if place == "thread":
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work, *job).result()
    else:
        with ProcessPoolExecutor(1, get_context(place)) as pool:
            pool.submit(work, *job).result()
"""


def digits() -> tuple[np.ndarray, np.ndarray]:
    source = find_source("digits")
    assert source.labels is not None
    return source.read(slice(N_IMAGES)), source.labels[:N_IMAGES]


def what_it_says(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a run, but for TensorBoard's and but for when and how long."""
    files = [file for file in folder.rglob("*") if file.is_file() and "logs" not in file.parts]
    return {
        file.relative_to(folder).as_posix(): sha256(_without_times(file)).hexdigest()
        for file in sorted(files)
    }


def _without_times(file: Path) -> bytes:
    content = file.read_bytes()
    if file.name == "metrics.json":
        facts = json.loads(content)
        assert facts.pop("seconds")["total"] > 0
        return json.dumps(facts).encode()
    if file.name == "run.yaml":
        facts = yaml.safe_load(content)
        assert facts.pop("created")
        return json.dumps(facts).encode()
    if file.name == "report.html":
        text, n_dates = re.subn(r"<time>.*?</time>", "", content.decode())
        text, n_tables = re.subn(r"Time taken.*?</table>", "", text, flags=re.DOTALL)
        assert (n_dates, n_tables) == (1, 1)
        return text.encode()
    return content


def states_of_others() -> tuple:
    """Return the global states of Python's, NumPy's and PyTorch's random numbers."""
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), keys.tobytes(), rest, torch.get_rng_state().numpy().tobytes()


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> dict[str, str]:
    """What one run says, that all others here must say, too."""
    images, labels = digits()
    return what_it_says(run(images, tmp_path_factory.mktemp("first") / "run", labels=labels, **QUICK).path)


def test_a_run_is_compared_as_a_whole(first):
    assert {"run.yaml", "metrics.json", "latents.parquet", "report.html", "model/encoder.h5"} <= set(first)
    assert sum(name.startswith("figures/") for name in first) > 20


def test_random_numbers_of_others_neither_matter_nor_change(first, tmp_path):
    random.seed(5)
    np.random.seed(6)  # noqa: NPY002
    torch.manual_seed(7)
    before, (images, labels) = states_of_others(), digits()
    again = run(images, tmp_path / "run", labels=labels, **QUICK)
    assert what_it_says(again.path) == first
    assert states_of_others() == before


def test_a_thread_and_a_worker_of_other_processes_say_the_same(first, tmp_path):
    images, labels = digits()
    np.savez(tmp_path / "given.npz", images=images, labels=labels)
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    started = []
    for place, hash_seed in (("thread", "1"), ("spawn", "2")):  # at once, which takes half of the time
        command = [sys.executable, "elsewhere.py", place, "given.npz", place, json.dumps(QUICK)]
        settings = os.environ | {"PYTHONHASHSEED": hash_seed, "MPLBACKEND": "Agg"}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=settings))
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    assert what_it_says(tmp_path / "thread") == first
    assert what_it_says(tmp_path / "spawn") == first


def test_another_seed_says_something_else(first, tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.auditing._draw", lambda *_: None)
    images, labels = digits()
    other = what_it_says(run(images, tmp_path / "run", labels=labels, seed=1, **QUICK).path)
    assert other["model/encoder.h5"] != first["model/encoder.h5"]
    assert other["latents.parquet"] != first["latents.parquet"]
    assert other["metrics.json"] != first["metrics.json"]


def test_images_read_for_every_epoch_give_what_images_in_memory_give(tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.auditing._draw", lambda *_: None)  # from the same table; half of the time
    rng, (images, labels) = np.random.default_rng(0), digits()
    for i in rng.permutation(N_IMAGES):
        file = tmp_path / "pngs" / str(labels[i]) / f"{i:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(images[i, ..., 0], np.ones((3, 3))) * 255
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    in_memory = run(tmp_path / "pngs", tmp_path / "in-memory", **QUICK)
    monkeypatch.setattr("caescope.source_options.IN_MEMORY", 0)
    streamed = run(tmp_path / "pngs", tmp_path / "streamed", **QUICK)
    assert what_it_says(streamed.path) == what_it_says(in_memory.path)


def test_the_same_pixels_get_the_same_latents_however_they_lie_in_memory(rng):
    images = rng.random((40, 8, 8), np.float32)
    turned = np.ascontiguousarray(images.transpose(2, 1, 0)).transpose(2, 1, 0)
    column = np.lib.stride_tricks.as_strided(images, (40, 8, 8, 1), (*images.strides, 4096))
    shapes = images.reshape(40, 8, 8, 1), images[..., None], turned[..., None], column
    assert len({array.strides for array in shapes}) == 4
    cae = CAE((8, 8, 1), 4, [4], seed=0, device="cpu")
    assert len({cae.encoder.predict(array).tobytes() for array in shapes}) == 1
    assert len({cae.model.predict(array).tobytes() for array in shapes}) == 1


@pytest.mark.parametrize("cores", [1, 4])
def test_the_weights_do_not_depend_on_how_many_cores_read(monkeypatch, cores):
    images, _ = digits()
    as_source = find_source(images)

    def weights() -> list[bytes]:
        cae = CAE((8, 8, 1), 4, [4], seed=0, device="cpu")
        cae.model.fit(as_source, epochs=2, verbose=0)
        return [array.tobytes() for array in cae.model.get_weights()]

    expected = weights()
    monkeypatch.setattr("caescope.parallel.count_cores", lambda: cores)
    assert weights() == expected


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_as_many_threads_train_the_same_network(threads, precision):
    images = np.random.default_rng(0).random((60, 20, 20, 1), np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = set()
        for _ in range(2):
            cae = CAE((20, 20, 1), 4, [8], seed=0, device="cpu", precision=precision)
            cae.model.fit(images, epochs=1, verbose=0)
            found.add(b"".join(array.tobytes() for array in cae.model.get_weights()))
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_as_many_threads_draw_the_same_map(monkeypatch, rng):
    monkeypatch.setattr(tsne, "THREADS_FROM", 0)
    monkeypatch.setattr(tsne, "MANY", 0)
    monkeypatch.setattr(tsne, "FOR_MANY", {"early_exaggeration_iter": 20, "n_iter": 20})
    latents = rng.normal(size=(60, 5))
    drawn = [tsne.TSNEMap(perplexity=5, n_jobs=2).fit_transform(latents).tobytes() for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_clusters_do_not_depend_on_the_number_of_threads(rng):
    points = rng.normal(size=(1500, 2))
    found = set()
    for threads in (1, 2, 4):
        with threadpool_limits(threads, "openmp"):
            clusters = kmeans(points, 8, seed=0)
        found.add((clusters.labels.tobytes(), clusters.centers.tobytes()))
    assert len(found) == 1
