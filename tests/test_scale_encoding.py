"""Workers encode what one process would, whoever of them dies, and say what is wrong as it would."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caescope import CAE
from caescope.data import ArraySource, find_source
from caescope.encoding_parts import encode_to_parts
from caescope.errors import DataError, FileFormatError, MissingDependencyError, OptionError
from caescope.parts import part_name
from caescope.parts_job import RECORD
from caescope.pipeline import encode
from caescope.progress import Stages
from caescope.scale.connecting import connected
from caescope.scale.encoding import Job, PartEncoder, files_of
from caescope.scale.streaming import error_as_text, error_from_text
from caescope.scale.workers import parse_workers
from caescope.storage import find_place
from caescope.table import read_latents
from hooked import Hooked

IMAGES = np.random.default_rng(0).integers(0, 256, (896, 8, 8, 1), np.uint8)
LABELS = np.random.default_rng(0).integers(0, 3, 896)


def demand_ray():
    """Skip where there is no Ray, without importing it: what it reads of the environment is set before."""
    if find_spec("ray") is None:
        pytest.skip("needs Ray")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu").save(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine that several tests share; `connected` uses what is there."""
    demand_ray()
    with connected(parse_workers(2, cpus_per_worker=1)) as ray:
        ray.cloudpickle.register_pickle_by_value(sys.modules[Hooked.__module__])  # workers cannot import it
        yield
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[Hooked.__module__])


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    """What this process alone makes of the images."""
    out = tmp_path_factory.mktemp("undisturbed") / "z.parquet"
    encode_to_parts(CAE(path=model, load=True, device="cpu"), hooked(out.parent), out, Stages(0))
    return contents(out)


def hooked(folder) -> Hooked:
    return Hooked(IMAGES, LABELS, folder=folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_image_that_cannot_be_read_is_named_and_the_rest_is_gone_on_with(
    cluster, model, undisturbed, tmp_path, capfd
):
    images, out, parts = hooked(tmp_path), tmp_path / "z.parquet", tmp_path / ".z.parquet.parts"
    (tmp_path / "bad").touch()
    with pytest.raises(DataError, match=r"^Image 500 must be readable\. Received damage\. Write it again\.$"):
        encode(model, images, out, verbose=0, workers=2, cpus_per_worker=1)
    assert not out.exists()
    (tmp_path / "bad").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("part-*.parquet")}
    assert before
    assert part_name(448) not in before
    encode(model, images, out, workers=1, cpus_per_worker=1)
    assert contents(out) == undisturbed
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert not parts.exists()
    said = capfd.readouterr().err
    assert f"goes on after {64 * len(before)} images" in said
    assert "Traceback" not in said


def test_killing_a_worker_changes_nothing(cluster, model, undisturbed, tmp_path):
    images, out = hooked(tmp_path), tmp_path / "z.parquet"
    (tmp_path / "slow").touch()
    parts, done = tmp_path / ".z.parquet.parts", lambda: list(parts.glob("part-*.parquet"))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(encode, model, images, out, verbose=0, workers=2, cpus_per_worker=1)
        while not done() and not job.done():
            time.sleep(0.02)
        os.kill(min(readers(tmp_path)), signal.SIGKILL)
        job.result()
    assert len(readers(tmp_path)) == 3  # two workers, and one in the place of the dead one
    assert contents(out) == undisturbed


def readers(folder: Path) -> set[int]:
    """Return the processes that have read images, but for this one."""
    return {int(file.stem) for file in folder.glob("*.pid")} - {os.getpid()}


def test_a_part_that_ends_every_worker_is_given_up(cluster, model, tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.scale.streaming.ATTEMPTS", 1)
    (tmp_path / "deadly").touch()
    with pytest.raises(OptionError, match=r"have memory.* Received one that ended 2 times at the same task"):
        encode(model, hooked(tmp_path), tmp_path / "z.parquet", verbose=0, workers=1)
    assert not (tmp_path / "z.parquet").exists()


def test_the_command_starts_workers_of_its_own(model, tmp_path):
    demand_ray()
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for i in range(70):
        Image.fromarray(IMAGES[i, ..., 0]).save(tmp_path / "photos" / "a" / f"{i:02d}.png")
    arguments = ["encode", model, "photos", "--out", "z.parquet", "--workers", 2, "--cpus-per-worker", 1]
    command = [sys.executable, "-m", "caescope", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"latents": "z.parquet"}
    lines = [line for line in done.stderr.splitlines() if "core_worker.cc" not in line]
    assert lines[0] == "encode: 70 images of 8×8×1"
    assert all(line.startswith("encode: ") for line in lines), done.stderr
    encode(model, tmp_path / "photos", tmp_path / "one.parquet", verbose=0, device="cpu")
    found, one = read_latents(tmp_path / "z.parquet"), read_latents(tmp_path / "one.parquet")
    assert (found.ids.tolist(), found.labels.tolist()) == (one.ids.tolist(), ["a"] * 70)
    np.testing.assert_allclose(found.latents, one.latents, atol=1e-6)


def test_without_ray_a_sentence_tells_how_to_install_it(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "caescope\[ray\]"'):
        encode(model, IMAGES, tmp_path / "z.parquet", verbose=0, workers=2)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def job(model, tmp_path):
    """A job of which no process knows anything yet."""
    cae = CAE(path=model, load=True, device="cpu")
    (tmp_path / RECORD).touch()
    place = find_place(tmp_path)
    return Job(cae.options, cae.model.get_weights(), ArraySource(IMAGES), (), place, ".", "cpu", 1)


def ask(job: Job, monkeypatch) -> dict:
    """Return what a worker answers that fetches things at once."""
    monkeypatch.setattr(PartEncoder, "_fetch", lambda _, thing: thing() if callable(thing) else thing)
    [answers] = [PartEncoder([job])({"start": np.array([64]), "stop": np.array([128])})]
    return {name: value for name, [value] in answers.items()}


def test_a_worker_writes_its_part_and_answers_with_numbers(job, tmp_path, monkeypatch):
    answer = ask(job, monkeypatch)
    assert (answer["images"], answer["error"]) == (64, "")
    assert answer["seconds"] > 0
    assert read_latents(tmp_path / part_name(64)).ids.tolist() == [str(i) for i in range(64, 128)]


def test_a_worker_must_see_the_images(job, tmp_path, monkeypatch):
    def missing():
        raise FileFormatError("slide.svs must exist", "no such file", "Check the spelling.")

    job = job.__class__(**{**vars(job), "images": missing, "files": (__file__, str(tmp_path / "slide.svs"))})
    error = error_from_text(ask(job, monkeypatch)["error"])
    assert isinstance(error, OptionError)
    assert str(error).startswith(
        f"Workers must see the files of the images. Received no {tmp_path}/slide.svs on"
    )
    (tmp_path / "slide.svs").touch()
    assert str(error_from_text(ask(job, monkeypatch)["error"])).startswith("slide.svs must exist.")


def test_a_worker_must_see_the_output(job, tmp_path, monkeypatch):
    (tmp_path / RECORD).unlink()
    error = error_from_text(ask(job, monkeypatch)["error"])
    assert str(error).startswith(f"Workers must see the folder of the output. Received no {tmp_path} on ")
    assert not list(tmp_path.glob("part-*"))


@pytest.mark.parametrize("kind", ["folder", "NPY", "slides", "array"])
def test_the_files_of_a_source_are_known(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(IMAGES[0, ..., 0]).save("photos/a.png")
    np.save("images.npy", IMAGES)
    if kind == "slides":
        tifffile = pytest.importorskip("tifffile")
        pytest.importorskip("openslide")
        tifffile.imwrite("s.tif", np.full((64, 64, 3), 99, np.uint8), tile=(32, 32), photometric="rgb")
        from caescope.slides import find_slides

        assert files_of(find_slides("s.tif", size=32, mpp=None, min_tissue=0)) == (str(tmp_path / "s.tif"),)
        return
    source = {"folder": "photos", "NPY": "images.npy", "array": IMAGES}[kind]
    expected = () if kind == "array" else (str(tmp_path / source),)
    assert files_of(find_source(source)) == expected


def test_errors_come_back_as_they_were():
    for error in (DataError("a", "b", "c"), FileFormatError("a", "b", "c"), OSError("disk full")):
        again = error_from_text(error_as_text(error))
        assert (type(again), str(again)) == (type(error), str(error))
