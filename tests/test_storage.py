"""Sources and models on object storage, against a real server of moto's."""

import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from caescope import storage
from caescope.cae import CAE
from caescope.data import find_source
from caescope.data.fetching import cache_folder
from caescope.errors import (
    CaescopeError,
    DataError,
    FileFormatError,
    ModelError,
    OptionError,
    OutputError,
)
from caescope.pipeline import encode, fit
from caescope.source_options import SourceOptions
from caescope.storage import Place, find_place, is_remote, local_path, path_or_url
from caescope.table import read_latents

pytest.importorskip("moto")
pytest.importorskip("boto3")

from s3_server import S3Server
from test_data_conformance import GREY, IMAGES, check_source, folder_of, hdf5, idx, listing, npy, npz

MANY = 5000


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    server = S3Server(MANY)
    yield server
    server.stop()


@pytest.fixture
def server(running, tmp_path, monkeypatch) -> S3Server:
    """The server, to which this process's environment leads, and a cache of its own."""
    connect(running, tmp_path, monkeypatch)
    return running


def connect(server: S3Server, tmp_path: Path, monkeypatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CAESCOPE_CACHE", str(tmp_path / "cache"))


def png(pixels: Any = GREY[0, ..., 0]) -> bytes:
    Image.fromarray(np.asarray(pixels)).save(content := BytesIO(), "PNG")
    return content.getvalue()


def refuse(error: type[CaescopeError], received: str, ask, *arguments, **options) -> None:
    """Asking raises this error, in three parts, with a piece of what was received."""
    with pytest.raises(error) as caught:
        ask(*arguments, **options)
    assert type(caught.value) is error
    assert received in f"{caught.value.must} {caught.value.received}"


# --- places


@pytest.mark.parametrize("name", ["plain.bin", "a b.bin", "ü.bin", "%41.bin", "what?.bin", "a+b&c=d#e.bin"])
def test_names_mean_what_they_say(server, name):
    place = find_place(f"s3://bucket/places/{name}")
    place.write_bytes(b"content")
    assert server.keys(f"places/{name}") == [f"places/{name}"]
    assert place.exists()
    assert place.read_bytes() == b"content"
    assert place.name == name
    assert name in find_place("s3://bucket/places/").names()


def test_a_place_is_found_again_in_another_process(server):
    url = f"s3://bucket/again/x?endpoint_override={server.endpoint}&region=us-east-1"
    place = find_place(url)
    (place / "y").write_bytes(b"1")
    again = pickle.loads(pickle.dumps(place / "y"))
    assert again == place / "y"
    assert str(again) == url.replace("/x?", "/x/y?")
    assert again.read_bytes() == b"1"


def test_a_local_place_is_a_file(tmp_path):
    place = find_place(tmp_path) / "new" / "a.bin"
    assert not place.exists()
    place.write_bytes(b"1")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"1"
    assert find_place(tmp_path / "new").names() == ["a.bin"]
    assert find_place(tmp_path / "none").names() == []
    assert str(place) == str(tmp_path / "new" / "a.bin")
    assert pickle.loads(pickle.dumps(place)) == place
    refuse(FileFormatError, "no such file", (place / "b").read_bytes)


def test_what_is_remote():
    assert is_remote("S3://bucket/a")
    assert not any(map(is_remote, ["photos", "s3:", "C://a", b"x", 3, None, np.zeros(3)]))
    assert path_or_url(Path("s3://bucket/a")) == "s3://bucket/a"  # which pathlib has made s3:/bucket/a of
    assert path_or_url("a/b") == local_path("a/b") == Path("a/b")


@pytest.mark.parametrize(
    ("url", "received"),
    [
        ("https://example.org/a.npy", "https://…"),
        ("s3://", "s3://"),
        ("s3://bucket//a", "s3://bucket//a"),
        ("s3://bucket/../a", "s3://bucket/../a"),
        ("s3://bucket/a\0b", r"a\x00b"),
        ("s3://bucket/a?endpoint=x", "'endpoint'"),
        ("s3://name:secret@bucket/a", "one before an @"),
        ("abfs://name:secret@account.dfs.core.windows.net/a", "one before an @"),
        ("gs://bucket/a?nonsense=1", "nonsense"),
    ],
)
def test_urls_that_cannot_be_used(url, received):
    refuse(OptionError, received, find_place, url)
    with pytest.raises(OptionError) as caught:
        find_source(url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("end", ["", "/", "?retry_limit_seconds=5"])
def test_storage_of_other_kinds_is_found_by_its_own_url(end):
    url = f"gs://anonymous@bucket/a b/50%41{end}"  # asks nobody
    place = find_place(url)
    assert place.path == "bucket/a b/50%41"
    assert place.filesystem.type_name == "gcs"
    assert str(place) == url
    assert (place / "x").path == "bucket/a b/50%41/x"


def test_writing_that_is_refused(server):
    refuse(OutputError, "no such bucket", find_place("s3://no-such-bucket/a").write_bytes, b"1")


def test_without_a_key_access_is_denied(server):
    server.put("closed/a.png", png())
    url = f"s3://bucket/closed/a.png?endpoint_override={server.endpoint}&anonymous=true"
    refuse(DataError, "access denied", find_place(url).read_bytes)


def test_the_environment_tells_which_server(server, monkeypatch):
    server.put("told/a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.delenv("AWS_REGION")
    assert find_place("s3://bucket/told/a").read_bytes() == b"1"


def test_the_region_of_a_bucket_is_asked_for_once(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    asked = []
    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", lambda bucket: asked.append(bucket) or "eu-north-1")
    for _ in range(2):
        place: Any = find_place("s3://bucket-of-some-region/a")
        assert place.filesystem.region == "eu-north-1"
    assert asked == ["bucket-of-some-region"]


def test_a_server_that_does_not_run_is_named_within_seconds(server, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    start = time.monotonic()
    refuse(DataError, "no answer from storage: Failed to connect", find_source, "s3://bucket/photos/")
    refuse(OutputError, "no answer from storage", find_place("s3://bucket/a").write_bytes, b"1")
    refuse(DataError, "no answer from storage", CAE, path="s3://bucket/model", load=True)
    assert time.monotonic() - start < 60


def test_a_server_that_says_nothing_is_given_up(server, monkeypatch):
    monkeypatch.setattr("caescope.storage.SILENT_SECONDS", 1)
    monkeypatch.setattr("caescope.storage.ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        refuse(DataError, "no answer from storage", find_place("s3://bucket/a").read_bytes)


# --- sources


@pytest.mark.parametrize("write", [folder_of("png"), folder_of("jpg", GREY)], ids=["png", "jpeg"])
def test_a_folder_is_what_it_is_on_a_disk(server, tmp_path, write):
    local: Any = find_source(write(tmp_path))
    url = server.put_folder(tmp_path / "tiles", f"ü %41/{tmp_path.name}/tiles")
    for form in (url, f"{url}/", f"{url}?endpoint_override={server.endpoint}"):
        source: Any = find_source(form)
        assert source.name == "tiles"
        assert source.ids.tolist() == local.ids.tolist()
        assert source.labels.tolist() == local.labels.tolist()
        np.testing.assert_array_equal(source.load().images, local.load().images, strict=True)
    check_source(source)


def test_a_table_lists_what_lies_beside_it(server, tmp_path):
    local: Any = find_source(listing(tmp_path))
    url = server.put_folder(tmp_path / "tiles", "listed")
    source: Any = find_source(f"{url}/tiles.csv")
    check_source(source)
    assert source.ids.tolist() == local.ids.tolist()
    assert source.columns["slide"].tolist() == local.columns["slide"].tolist()
    np.testing.assert_array_equal(source.load().images, local.load().images)
    server.put("listed/bad.csv", b"path\nclass 0/0.png\nclass 0/none.png\n")
    refuse(DataError, "1 of 2 missing, for example class 0/none.png", find_source, f"{url}/bad.csv")
    server.put("listed/out.csv", b"path\n../other/0.png\n")
    refuse(FileFormatError, "s3://bucket/listed/out.csv", find_source, f"{url}/out.csv")
    server.put("listed/lacks.csv", b"name\n1\n")
    refuse(FileFormatError, "s3://bucket/listed/lacks.csv must be a table", find_source, f"{url}/lacks.csv")


@pytest.mark.parametrize(
    "write",
    [npy(IMAGES), npy(GREY.astype(np.int64)), hdf5(), idx, npz],
    ids=["npy", "int", "h5", "idx", "npz"],
)
def test_a_single_file_is_what_it_is_on_a_disk(server, tmp_path, write):
    path = write(tmp_path)
    local: Any = find_source(path)
    url = server.put(f"files/{path.name}", path.read_bytes())
    source: Any = find_source(url)
    check_source(source)
    assert source.name == local.name
    np.testing.assert_array_equal(source.read(slice(None)), local.read(slice(None)), strict=True)


def test_labels_may_be_on_storage(server):
    url = server.put("labels.csv", b"label\ncat\ndog\n")
    assert find_source(np.zeros((2, 4, 4)), url).labels.tolist() == ["cat", "dog"]


def test_many_objects_come_in_pages(server, monkeypatch):
    monkeypatch.setattr("caescope.data.remote_folder.MOST_MEASURED", 9)
    source = find_source("s3://many/")
    assert len(source) == MANY
    assert source.ids.tolist() == sorted(f"class {i % 7}/{i:05d}.png" for i in range(MANY))
    assert source.read([0, MANY - 1]).tolist() == [[[[7], [7]], [[7], [7]]]] * 2


@pytest.mark.parametrize(
    ("odd", "received"),
    [
        (np.zeros((5, 6, 3), np.uint8), "b.png, which is in colour"),
        (np.zeros((6, 5), np.uint8), "but b.png with 6×5"),
    ],
)
def test_an_image_unlike_those_that_were_measured_comes_up_when_it_is_read(
    server, tmp_path, monkeypatch, odd, received
):
    monkeypatch.setattr("caescope.data.remote_folder.MOST_MEASURED", 2)
    for name in "abc":
        server.put(f"{tmp_path.name}/{name}.png", png(odd if name == "b" else GREY[0, ..., 0]))
    source: Any = find_source(f"s3://bucket/{tmp_path.name}/")
    assert source.shape == (5, 6, 1)
    assert source.read([0, 2]).shape == (2, 5, 6, 1)
    refuse(DataError, received, source.read, [1])


def test_hidden_and_other_files_are_left_out(server):
    for key in ("a.png", ".b.png", ".cache/c.png", "notes.txt", "sub/", "empty.png/"):
        server.put(f"mixed/{key}", b"" if key.endswith("/") else png())
    source = find_source("s3://bucket/mixed/")
    assert source.ids.tolist()[0] == "a.png"
    assert not any(name[0] == "." or "/" in name for name in source.ids.tolist())


@pytest.mark.parametrize("key", ["a/../b.png", "a//b.png", "a\\b.png", "./b.png"])
def test_names_that_no_disk_has_are_refused(server, key):
    prefix = f"strange{abs(hash(key))}"
    server.put(f"{prefix}/good.png", png())
    server.put(f"{prefix}/{key}", png())
    refuse(FileFormatError, "must hold files whose names", find_source, f"s3://bucket/{prefix}/")


def test_what_is_an_object_and_a_folder_is_told_apart_by_the_slash(server, tmp_path):
    path = npy(IMAGES)(tmp_path)
    server.put("both.npy", path.read_bytes())
    server.put("both.npy/1.png", png())
    assert len(find_source("s3://bucket/both.npy")) == len(IMAGES)
    assert len(find_source("s3://bucket/both.npy/")) == 1


@pytest.mark.parametrize(
    ("url", "received"),
    [
        ("s3://bucket/nothing/", "no such file or folder"),
        ("s3://bucket/nothing.npy", "no such file or folder"),
        ("s3://no-such-bucket/photos/", "no such bucket"),
    ],
)
def test_sources_that_are_not_there(server, url, received):
    refuse(FileFormatError, received, find_source, url)


def test_files_that_are_no_source_are_called_by_their_url(server):
    url = server.put("odd/notes.txt", b"not an image")
    refuse(FileFormatError, url, find_source, url)
    refuse(DataError, "s3://bucket/odd/ must hold images", find_source, "s3://bucket/odd/")


# --- images that are damaged, hostile or gone


def test_damaged_images_are_refused_as_on_a_disk(server):
    whole = png(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    bomb = bytearray(whole)
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2  # the header's width and height; its checksum is not read
    for name, content in {
        "truncated": whole[:600],
        "empty": b"",
        "text": b"hello",
        "bomb": bytes(bomb),
    }.items():
        server.put(f"bad/{name}.png", content)
    server.put("bad/good.png", whole)
    source: Any = find_source("s3://bucket/bad/", skip_unreadable=1)
    reasons = dict(source.skipped)
    assert source.ids.tolist() == ["good.png"]
    assert set(reasons) == {"truncated.png", "empty.png", "text.png", "bomb.png"}
    assert "an empty file" in reasons["empty.png"]
    assert "content of another kind" in reasons["text.png"]
    refuse(DataError, "4 of 5 images", find_source, "s3://bucket/bad/", skip_unreadable=0.5)
    refuse(FileFormatError, "s3://bucket/bad/", find_source("s3://bucket/bad/").read, [0])


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp"])
def test_large_images_are_read_in_pieces(server, monkeypatch, suffix):
    monkeypatch.setattr("caescope.data.remote_folder.WHOLE_BYTES", 1000)
    monkeypatch.setattr("caescope.data.remote_folder.HEADER_BYTES", 100)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content := BytesIO(), {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix))
    server.put(f"large/{suffix}/1.{suffix}", content.getvalue())
    source = find_source(f"s3://bucket/large/{suffix}/")
    assert source.shape == (50, 70, 3)
    np.testing.assert_array_equal(source.read([0])[0], np.asarray(Image.open(content).convert("RGB")))


def test_an_image_that_is_gone_is_unreadable_and_may_be_left_out(server):
    for name in "abc":
        server.put(f"gone/{name}.png", png())
    source: Any = find_source("s3://bucket/gone/")
    assert source.shape == (5, 6, 1)
    server.delete("gone/b.png")
    refuse(FileFormatError, "s3://bucket/gone/b.png must exist", source.read, [0, 1, 2])
    assert source.scan() == [("b.png", "no such file or folder")]


def test_a_changed_image_changes_the_stamp(server):
    server.put("stamped/a.png", png())
    before: Any = find_source("s3://bucket/stamped/")
    same: Any = find_source("s3://bucket/stamped/")
    server.put("stamped/a.png", png(np.zeros((9, 9), np.uint8)))
    after: Any = find_source("s3://bucket/stamped/")
    assert before.stamp() == same.stamp() != after.stamp()


def test_a_server_that_stops_in_the_middle_leaves_no_image_out(tmp_path, monkeypatch):
    server = S3Server()
    try:
        connect(server, tmp_path, monkeypatch)
        monkeypatch.setattr("caescope.storage.ATTEMPTS", 1)
        for i in range(3):
            server.put(f"photos/{i}.png", png())
        source: Any = find_source("s3://bucket/photos/")
        assert source.read([0]).shape == (1, 5, 6, 1)
        path = npy(IMAGES)(tmp_path)
        mapped = find_source(server.put("a.npy", path.read_bytes()))
    finally:
        server.stop()
    refuse(DataError, "no answer from storage", source.read, [0, 1])
    refuse(DataError, "no answer from storage", source.scan)
    refuse(DataError, "no answer from storage", find_source, source, None, None, 1)
    assert len(mapped.read([0])) == 1  # its copy is there


# --- copies


def copies() -> list[Path]:
    return sorted(path for path in cache_folder().rglob("*") if path.is_file() and path.name != ".lock")


def test_a_file_is_copied_once_until_it_changes(server, tmp_path):
    path = npy(IMAGES)(tmp_path)
    url = server.put("once/a.npy", path.read_bytes())
    source: Any = find_source(url)
    (copy,) = copies()
    facts = copy.stat()
    find_source(url)
    assert copies() == [copy]
    assert copy.stat().st_ino == facts.st_ino
    np.save(path, IMAGES[:7])
    server.put("once/a.npy", path.read_bytes())
    assert len(find_source(url)) == 7
    assert len(source) == 20
    assert len(copies()) == 2


def test_a_pickled_source_copies_again_where_there_is_no_copy(server, tmp_path):
    for write in (npy(IMAGES), hdf5()):
        path = write(tmp_path)
        url = server.put(f"elsewhere/{path.name}", path.read_bytes())
        source: Any = find_source(url)
        pickled, stamp = pickle.dumps(source), source.stamp()
        shutil.rmtree(cache_folder())
        again = pickle.loads(pickled)
        np.testing.assert_array_equal(again.read(slice(None)), IMAGES)
        assert again.stamp() == stamp
        server.put(f"elsewhere/{path.name}", path.read_bytes() + b"more")
        shutil.rmtree(cache_folder())
        refuse(FileFormatError, f"{url} must be the file that it was", pickle.loads, pickled)


def test_a_copy_that_was_cut_off_is_made_anew(server, tmp_path):
    url = server.put("cut/a.npy", npy(IMAGES)(tmp_path).read_bytes())
    find_source(url)
    os.truncate(copies()[0], 100)
    np.testing.assert_array_equal(find_source(url).read([3]), IMAGES[[3]])


def test_names_that_the_disk_cannot_have_get_another(server, tmp_path):
    content = npy(IMAGES)(tmp_path).read_bytes()
    for name in ("é" * 120 + ".npy", "a\tb.npy", 'a:"b".npy', ".lock"):
        source = find_source(server.put(f"names/{name}", content))
        assert len(source) == 20


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    url = server.put("closed.npy", npy(IMAGES)(tmp_path).read_bytes())
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CAESCOPE_CACHE", str(tmp_path / "file"))
    refuse(OutputError, str(tmp_path / "file"), find_source, url)


def test_slides_are_copied_and_read_as_on_a_disk(server, shared_data, tmp_path):
    pytest.importorskip("openslide")
    slide = shared_data / "slides" / "CMU-1-Small-Region.svs"
    url = server.put("slides/a/one.svs", slide.read_bytes())
    server.put("slides/notes.txt", b"")
    options = SourceOptions(tile_size=64, mpp=4.0)
    local = options.find(slide)
    for form in (url, "s3://bucket/slides/a/"):
        source: Any = options.find(form)
        np.testing.assert_array_equal(source.read(slice(None)), local.read(slice(None)))
    check_source(source)
    assert source.columns["slide"][0] == "one.svs"
    assert SourceOptions(mpp=4.0).find("s3://bucket/slides/a/").name == "a"
    pickled = pickle.dumps(source)
    shutil.rmtree(cache_folder())
    again = pickle.loads(pickled)
    assert again.stamp() == source.stamp()
    assert not cache_folder().exists()  # until a tile is read
    np.testing.assert_array_equal(again.read([0, 1]), local.read([0, 1]))
    refuse(FileFormatError, "s3://bucket/slides/b.svs", options.find, server.put("slides/b.svs", b"no slide"))
    server.put("series/1.dcm", b"")
    refuse(FileFormatError, "1.dcm of s3://bucket/series", options.find, "s3://bucket/series/")
    refuse(DataError, "s3://bucket/slides/none", options.find, server.put("slides/none/a.txt", b"")[:-5])


# --- models


@pytest.fixture
def cae() -> CAE:
    return CAE((8, 8, 1), 3, [2], seed=0)


def test_a_model_comes_back_as_it_was(server, cae):
    url = "s3://bucket/models/ü 1"
    assert cae.save(url) == url
    assert server.keys("models/ü 1") == [
        f"models/ü 1/{name}" for name in ("decoder.h5", "encoder.h5", "params.yaml")
    ]
    images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    for path in (url, f"{url}/", Path(url)):
        again = CAE(path=path, load=True)
        np.testing.assert_array_equal(again.encoder.predict(images), cae.encoder.predict(images))
    again.save()
    assert not Path("s3:").exists()


def test_models_that_are_not_whole_are_refused_by_their_url(server, cae):
    cae.save("s3://bucket/half/model")
    server.delete("half/model/params.yaml")
    refuse(ModelError, "s3://bucket/half/model", CAE, path="s3://bucket/half/model", load=True)
    refuse(ModelError, "s3://bucket/half/none", CAE, path="s3://bucket/half/none", load=True)
    cae.save("s3://bucket/half/model")
    other = CAE((8, 8, 1), 3, [2], seed=1)
    other.save("s3://bucket/half/other")  # as when writing it over the first is interrupted
    server.put("half/model/encoder.h5", server.get("half/other/encoder.h5"))
    refuse(ModelError, "s3://bucket/half/model", CAE, path="s3://bucket/half/model", load=True)
    server.put("half/other/decoder.h5", b"nonsense")
    refuse(
        FileFormatError, "s3://bucket/half/other/decoder.h5", CAE, path="s3://bucket/half/other", load=True
    )


def test_a_model_of_unknown_files_warns_by_its_url(server, cae):
    cae.save("s3://bucket/old")
    params = server.get("old/params.yaml").decode()
    kept = [line for line in params.splitlines() if not line.startswith(("weights_sha256", "  "))]
    server.put("old/params.yaml", "\n".join(line for line in kept if "er:" not in line[:9]).encode())
    with pytest.warns(UserWarning, match="s3://bucket/old does not tell"):
        CAE(path="s3://bucket/old", load=True)


# --- the whole way


OPTIONS = {"epochs": 1, "latent_features": 3, "filters": [2], "seed": 3, "device": "cpu", "verbose": 0}


@pytest.fixture
def photos(server, tmp_path) -> tuple[Path, str]:
    """The same images on the disk and on storage."""
    folder = folder_of("png", np.repeat(np.repeat(IMAGES, 2, 1), 2, 2))(tmp_path)
    return folder, server.put_folder(folder, f"{tmp_path.name}/photos")


def test_from_storage_to_storage_is_what_it_is_on_the_disk(server, photos, tmp_path):
    folder, url = photos
    model, out = f"{url}-model", f"{url}-latents.parquet"
    fit(folder, tmp_path / "model", **OPTIONS)
    trained = fit(url, model, **OPTIONS)
    assert trained.path == model
    key = model.removeprefix("s3://bucket/")
    assert sorted(server.keys(key)) == [
        f"{key}/{name}" for name in ("decoder.h5", "encoder.h5", "params.yaml")
    ]
    for name in ("decoder.h5", "encoder.h5"):
        assert server.get(f"{key}/{name}") == (tmp_path / "model" / name).read_bytes()
    assert not any(cache_folder().rglob("*.h5"))
    encode(tmp_path / "model", folder, tmp_path / "l.parquet", verbose=0, device="cpu")
    encode(model, url, tmp_path / "r.parquet", verbose=0, device="cpu")
    assert (tmp_path / "r.parquet").read_bytes() == (tmp_path / "l.parquet").read_bytes()
    assert encode(model, url, out, verbose=0, device="cpu") == out
    expected, found = read_latents(tmp_path / "l.parquet"), read_latents(out)
    np.testing.assert_array_equal(found.latents, expected.latents)
    np.testing.assert_array_equal(found.errors, expected.errors)
    assert found.ids.tolist() == expected.ids.tolist()


def test_a_model_on_storage_is_not_replaced_unasked(server, photos):
    _, url = photos
    model = f"{url}-model"
    fit(url, model, **OPTIONS)
    refuse(OptionError, f"{model}, which exists", fit, url, model, **OPTIONS)
    assert fit(url, model, resume=True, **OPTIONS).path == model
    first = server.get(f"{model}/encoder.h5".removeprefix("s3://bucket/"))
    fit(url, model, overwrite=True, **{**OPTIONS, "seed": 4})
    assert server.get(f"{model}/encoder.h5".removeprefix("s3://bucket/")) != first
    refuse(OptionError, f"{url}, which holds something else", fit, url, url, overwrite=True, **OPTIONS)
    refuse(FileFormatError, "no such bucket", fit, "s3://no-such-bucket/x/", model + "2", **OPTIONS)
    refuse(FileFormatError, "no such bucket", fit, url, "s3://no-such-bucket/x", **OPTIONS)


def test_a_model_that_could_not_be_put_is_gone_on_with(server, photos, monkeypatch):
    _, url = photos
    model = f"{url}-model"
    put = Place.write_bytes

    def put_some(place: Place, content: bytes) -> None:
        with storage._putting(place):
            if place.name == "params.yaml":
                raise OSError("AWS Error NETWORK_CONNECTION during PutObject: curlCode: 56; Details: cut off")
        put(place, content)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write_bytes", put_some)
        refuse(OutputError, f"{model}/params.yaml (no answer", fit, url, model, **OPTIONS)
    refuse(ModelError, model, CAE, path=model, load=True)
    refuse(OptionError, f"{model}, which was begun and not finished", fit, url, model, **OPTIONS)
    fit(url, model, resume=True, **OPTIONS)
    assert CAE(path=model, load=True).options.latent_features == 3


def test_the_command_line_knows_urls(server, photos, tmp_path, monkeypatch):
    from caescope.cli.commands import main

    _, url = photos
    monkeypatch.chdir(tmp_path)
    small = ["--epochs", "1", "--filters", "2", "--latent-features", "3", "--quiet"]
    for arguments in (
        ["fit", url, "--out", f"{url}-cli", *small],
        ["inspect", f"{url}-cli"],
        ["encode", f"{url}-cli", url, "--out", "l.parquet", "--quiet"],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    for arguments in (
        ["run", url, "--out", "s3://bucket/run"],
        ["demo", "--out", "s3://bucket/run"],
        ["analyze", "l.parquet", "--out", "s3://bucket/run"],
        ["report", "s3://bucket/run"],
        ["explore", "s3://bucket/run"],
        ["tile", url, "--out", "s3://bucket/run"],
        ["fit", url, "--out", "m", "--log-dir", "s3://bucket/logs"],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1
        assert "must be on this machine's disk. Received s3://bucket/" in result.output
    assert not list(tmp_path.glob("s3:*"))


def test_a_run_folder_must_be_on_the_disk(server, photos):
    from caescope.pipeline import run

    refuse(OptionError, "s3://bucket/run", run, photos[1], "s3://bucket/run", verbose=0)
    refuse(OptionError, "s3://bucket/run", run, photos[1], Path("s3://bucket/run"), verbose=0)


def test_without_storage_pyarrow_need_not_be_imported():
    program = "import sys, caescope.storage; print('pyarrow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
