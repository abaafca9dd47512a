"""What a worker that encodes does and says; a real cluster is in `test_scale_cluster`."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caescope import CAE
from caescope.data import ArraySource, find_source
from caescope.errors import DataError, FileFormatError, MissingDependencyError, OptionError
from caescope.parts import part_name
from caescope.parts_job import RECORD
from caescope.pipeline import encode
from caescope.scale.encoding import Job, PartEncoder, files_of
from caescope.scale.streaming import error_as_text, error_from_text
from caescope.storage import find_place
from caescope.table import read_latents

IMAGES = np.random.default_rng(0).integers(0, 256, (896, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu").save(tmp_path_factory.mktemp("model") / "model")


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
    weights = cae.model.get_weights()
    return Job(cae.options, weights, "float32", ArraySource(IMAGES), (), place, ".", "cpu", 1)


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


def test_a_worker_computes_in_the_numbers_that_were_asked_for(job, model, tmp_path, monkeypatch):
    assert ask(replace(job, precision="bfloat16"), monkeypatch)["error"] == ""
    fast = CAE(path=model, load=True, device="cpu", predict_precision="bfloat16")
    found = read_latents(tmp_path / part_name(64)).latents
    np.testing.assert_allclose(found, fast.encoder.predict(IMAGES[64:128]), atol=1e-6)
    assert (
        np.abs(found - CAE(path=model, load=True, device="cpu").encoder.predict(IMAGES[64:128])).max() > 1e-5
    )


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
