"""Latents in parts: what is written is read, and what is not whole is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caescope import CAE
from caescope.data import ArraySource
from caescope.encoding_parts import encode_part, encode_to_parts, part_size
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.parts import is_parts, open_parts, part_name, write_success
from caescope.parts_job import RECORD, demand_free
from caescope.pipeline import encode
from caescope.progress import Stages
from caescope.storage import find_place
from caescope.table import LatentTable, read_latents
from s3_server import S3Server

LATENTS = np.arange(10, dtype=np.float32).reshape(5, 2)
LABELS = np.ma.array(["x", "y", "x", "", ""], mask=[0, 0, 0, 1, 1])


def table(rows=slice(None), **known):
    known = {"labels": LABELS[rows], "columns": {"slide": np.arange(5)[rows]}} | known
    return LatentTable(np.array(list("abcde"))[rows], LATENTS[rows], **known)


@pytest.fixture
def folder(tmp_path):
    """Five images in two parts; in the second no label is known."""
    place = find_place(tmp_path / "z.parquet")
    for rows in (slice(0, 3), slice(3, 5)):
        (place / part_name(rows.start)).write_bytes(table(rows).as_parquet())
    write_success(place, [3, 2])
    return tmp_path / "z.parquet"


def test_parts_are_read_one_by_one(folder):
    parts = open_parts(folder)
    assert repr(parts) == f"LatentParts({str(folder)!r}, 5 images in 2 parts)"
    assert (len(parts), parts.counts, parts.starts, parts.name) == (5, (3, 2), (0, 3), "z.parquet")
    assert parts.files == ("part-000000000000.parquet", "part-000000000003.parquet")
    second = parts.read(1)
    np.testing.assert_array_equal(second.latents, LATENTS[3:])
    assert (second.labels.tolist(), second.columns["slide"].tolist()) == ([None, None], [3, 4])


def test_a_folder_of_parts_is_read_as_one_table(folder, tmp_path):
    table().write(tmp_path / "one.parquet")
    whole, one = read_latents(folder), read_latents(tmp_path / "one.parquet")
    np.testing.assert_array_equal(whole.latents, one.latents)
    assert whole.ids.tolist() == one.ids.tolist()
    assert whole.labels.tolist() == one.labels.tolist() == ["x", "y", "x", None, None]
    assert whole.columns["slide"].tolist() == [0, 1, 2, 3, 4]
    assert len(pd.read_parquet(folder)) == 5  # others read it, too


def test_a_folder_of_parts_is_told_from_others(folder, tmp_path):
    (tmp_path / "other").mkdir()
    found = [is_parts(path) for path in (folder, tmp_path / "other", tmp_path / "none", __file__)]
    assert found == [True, False, False, False]


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float64(), pa.bool_()])
def test_columns_that_are_empty_in_one_part_are_masked_there(folder, kind):
    for start, values in ((0, [None, 1, 0]), (3, [None, None])):
        file = folder / part_name(start)
        column = pa.array(values).cast(kind) if start == 0 else pa.nulls(2, kind)
        pq.write_table(pq.read_table(file, partitioning=None).append_column("score", column), file)
    known = open_parts(folder).read(1).columns["score"]
    assert known.tolist() == [None, None]
    assert known.dtype.kind == open_parts(folder).read(0).columns["score"].dtype.kind


def test_an_unfinished_folder_is_refused(folder, tmp_path):
    (folder / "_SUCCESS").unlink()
    for read in (open_parts, read_latents):
        with pytest.raises(FileFormatError, match=r"z\.parquet must be a whole .*without _SUCCESS\. Ask for"):
            read(folder)
    with pytest.raises(FileFormatError, match=r"nothing must be a whole folder .*no such folder"):
        open_parts(tmp_path / "nothing")


def test_a_part_that_is_gone_or_changed_is_named(folder):
    second = folder / part_name(3)
    content = second.read_bytes()
    second.write_bytes(content[:-20])
    with pytest.raises(FileFormatError, match=r"part-000000000003\.parquet must be readable as a Parquet"):
        open_parts(folder).read(1)
    second.write_bytes((folder / part_name(0)).read_bytes())
    with pytest.raises(FileFormatError, match=r"000003\.parquet must hold the 2 images that .*Received 3\."):
        open_parts(folder).read(1)
    second.unlink()
    with pytest.raises(FileFormatError, match=r"all 2 parts .*Received 1, without part-000000000003\."):
        open_parts(folder)


@pytest.mark.parametrize(
    "second",
    [
        table(slice(3, 5), columns={}),
        table(slice(3, 5), columns={"slide": np.array(["a", "b"])}),
        table(slice(3, 5), errors=np.zeros(2, np.float32)),
        replace(table(slice(3, 5)), latents=LATENTS[3:, :1]),
    ],
    ids=["fewer", "of another type", "more", "fewer latents"],
)
def test_parts_must_have_the_same_columns(folder, second):
    (folder / part_name(3)).write_bytes(second.as_parquet())
    with pytest.raises(FileFormatError, match=r"000003\.parquet must have the columns of the first part"):
        read_latents(folder)


PARTS = [["part-000000000000.parquet", 3], ["part-000000000003.parquet", 2]]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("[" * 100_000, "RecursionError|JSONDecodeError"),
        ([], "format version None"),
        ({"format_version": 2}, "format version 2, where 1 is known"),
        ({"format_version": 1, "parts": PARTS}, "KeyError"),
        ({"format_version": 1, "images": 6, "parts": PARTS}, "do not add up"),
        ({"format_version": 1, "images": 0, "parts": [[PARTS[0][0], 3], [PARTS[1][0], -3]]}, "do not add up"),
        ({"format_version": 1, "images": 5, "parts": [[PARTS[0][0], 3.0], PARTS[1]]}, "do not add up"),
        ({"format_version": 1, "images": 5, "parts": [PARTS[0], ["../../secret", 2]]}, "do not follow"),
        ({"format_version": 1, "images": 5, "parts": PARTS[::-1]}, "do not follow"),
    ],
)
def test_a_list_that_is_damaged_is_refused(folder, record, reason):
    (folder / "_SUCCESS").write_text(record if isinstance(record, str) else json.dumps(record))
    with pytest.raises(FileFormatError, match=rf"_SUCCESS must be readable as the list .*({reason})"):
        open_parts(folder)


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def cae():
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu")


def source(images=IMAGES):
    return ArraySource(images, labels=["a", None] * 100, columns={"slide": ["s1", "s2"] * 100})


def test_parts_hold_what_one_file_holds(cae, tmp_path):
    cae.save(tmp_path / "model")
    encode(tmp_path / "model", source(), tmp_path / "one.parquet", verbose=0, device="cpu")
    encode_to_parts(cae, source(), tmp_path / "z.parquet", Stages(0))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "one.parquet", "z.parquet"]
    names = [*map(part_name, range(0, 200, 64)), "_SUCCESS", "_job.json"]
    assert sorted(file.name for file in (tmp_path / "z.parquet").iterdir()) == sorted(names)
    one = pq.read_table(tmp_path / "one.parquet")
    parts = pa.concat_tables(pq.read_table(tmp_path / "z.parquet" / name) for name in names[:4])
    assert parts.schema == one.schema
    for name in one.column_names:
        if name.startswith("z"):  # the last digits depend on how many images are encoded together
            np.testing.assert_allclose(parts[name].to_numpy(), one[name].to_numpy(), atol=1e-6)
        elif name == "error":
            np.testing.assert_allclose(parts[name].to_numpy(), one[name].to_numpy(), rtol=1e-5)
        else:
            assert parts[name].to_pylist() == one[name].to_pylist()


def test_the_result_does_not_depend_on_threads(cae):
    tables = [encode_part(cae, source(), slice(64, 128), threads) for threads in (1, 2, 5)]
    assert tables[0].as_parquet() == tables[1].as_parquet() == tables[2].as_parquet()


class Failing(ArraySource):
    """Images of which one cannot be read, until it can."""

    bad = 150

    def read(self, indices):
        rows = np.arange(len(self))[indices]
        READ.extend(rows.tolist())
        if self.bad in rows:
            raise DataError("Image 150 must be readable", "damage", "Write it again.")
        return super().read(indices)


READ: list[int] = []


def test_an_interrupted_folder_goes_on_where_it_stopped(cae, tmp_path, capsys, monkeypatch):
    with pytest.raises(DataError, match="Image 150"):
        encode_to_parts(cae, Failing(IMAGES), tmp_path / "z.parquet", Stages(0))
    assert [file.name for file in tmp_path.iterdir()] == [".z.parquet.parts"]
    READ.clear()
    (tmp_path / ".z.parquet.parts" / ".part-000000000128.parquet-x1").write_bytes(b"half of it")
    monkeypatch.setattr(Failing, "bad", -1)
    encode_to_parts(cae, Failing(IMAGES), tmp_path / "z.parquet", Stages("auto"))
    assert sorted(READ) == list(range(128, 200))
    assert "encode: goes on after 128 of " in capsys.readouterr().err
    encode_to_parts(cae, Failing(IMAGES), tmp_path / "whole.parquet", Stages(0))
    assert_same_folder(tmp_path / "z.parquet", tmp_path / "whole.parquet")


def assert_same_folder(one, other):
    assert sorted(file.name for file in one.iterdir()) == sorted(file.name for file in other.iterdir())
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_parts_of_another_encoding_are_not_used(cae, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="Image 150"):
        encode_to_parts(cae, Failing(IMAGES), tmp_path / "z.parquet", Stages(0))
    READ.clear()
    monkeypatch.setattr(Failing, "bad", -1)
    encode_to_parts(cae, Failing(255 - IMAGES), tmp_path / "z.parquet", Stages(0))
    assert sorted(READ) == list(range(200))


def test_an_encoding_of_which_nothing_is_done_leaves_nothing(cae, tmp_path, monkeypatch):
    monkeypatch.setattr(Failing, "bad", 3)
    with pytest.raises(DataError, match="Image 150"):
        encode_to_parts(cae, Failing(IMAGES), tmp_path / "z.parquet", Stages(0))
    assert not list(tmp_path.iterdir())


def test_an_earlier_folder_is_replaced_if_asked(cae, tmp_path):
    for images in (source(), source(255 - IMAGES)):
        encode_to_parts(cae, images, tmp_path / "z.parquet", Stages(0))
    assert [file.name for file in tmp_path.iterdir()] == ["z.parquet"]
    with pytest.raises(OptionError, match=r"z\.parquet, which exists"):
        demand_free(tmp_path / "z.parquet", overwrite=False)
    demand_free(tmp_path / "z.parquet", overwrite=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("")
    with pytest.raises(OptionError, match="which holds something else"):
        demand_free(tmp_path / "home", overwrite=True)


@pytest.fixture(scope="module")
def server():
    """Object storage on this machine."""
    pytest.importorskip("moto")
    server = S3Server()
    yield server
    server.stop()


def test_parts_on_storage_are_those_on_a_disk(cae, server, tmp_path, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    cae.save(tmp_path / "model")
    url, known = "s3://bucket/runs/z.parquet", {"verbose": 0, "device": "cpu"}
    with pytest.raises(DataError, match="Image 150"):
        encode(tmp_path / "model", Failing(IMAGES), url, **known)
    assert stored(server, url) == {RECORD, part_name(0), part_name(64)}
    with pytest.raises(FileFormatError, match=r"runs/z\.parquet must be a whole folder .*unfinished one"):
        read_latents(url)
    READ.clear()
    monkeypatch.setattr(Failing, "bad", -1)
    assert encode(tmp_path / "model", Failing(IMAGES), url, **known) == url
    assert sorted(READ) == list(range(128, 200))
    encode_to_parts(cae, Failing(IMAGES), tmp_path / "z.parquet", Stages(0))
    assert stored(server, url) == {file.name for file in (tmp_path / "z.parquet").iterdir()}
    for file in (tmp_path / "z.parquet").iterdir():
        assert server.get(f"runs/z.parquet/{file.name}") == file.read_bytes()
    np.testing.assert_array_equal(read_latents(url).latents, read_latents(tmp_path / "z.parquet").latents)


def test_an_earlier_folder_on_storage_is_replaced_if_asked(cae, server, tmp_path, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    cae.save(tmp_path / "model")
    url, known = "s3://bucket/again/z.parquet", {"verbose": 0, "device": "cpu"}
    encode(tmp_path / "model", IMAGES, url, **known)
    with pytest.raises(OptionError, match=r"Received s3://bucket/again/z\.parquet, which exists"):
        encode(tmp_path / "model", IMAGES[:90], url, **known)
    encode(tmp_path / "model", IMAGES[:90], url, overwrite=True, **known)
    assert len(open_parts(url)) == 90
    assert stored(server, url) == {RECORD, "_SUCCESS", part_name(0), part_name(64)}
    server.put("home/thesis.txt", b"")
    with pytest.raises(OptionError, match="which holds something else"):
        encode(tmp_path / "model", IMAGES, "s3://bucket/home", overwrite=True, **known)
    monkeypatch.setattr(Failing, "bad", 3)
    with pytest.raises(DataError, match="Image 150"):
        encode(tmp_path / "model", Failing(IMAGES), "s3://bucket/none", **known)
    assert not stored(server, "s3://bucket/none")


def stored(server: S3Server, url: str) -> set[str]:
    """Return the names of what is stored there, but for the object that pyarrow makes of a folder."""
    prefix = url.removeprefix("s3://bucket/") + "/"
    return {key.removeprefix(prefix) for key in server.keys(prefix)} - {""}


def test_a_part_on_storage_that_is_damaged_is_named_by_its_url(server, folder, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    (folder / part_name(3)).write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    url = server.put_folder(folder, "damaged")
    with pytest.raises(FileFormatError, match=rf"^{url}/part-0+3\.parquet must be readable as a Parquet"):
        read_latents(url)


class Greedy(ArraySource):
    """Images that cannot be read many at a time."""

    room = 5

    def read(self, indices):
        if len(range(len(self))[indices]) > self.room:
            raise MemoryError
        return super().read(indices)


def test_half_of_a_block_is_tried_where_there_is_no_memory(cae, monkeypatch):
    plain = encode_part(cae, ArraySource(IMAGES), slice(0, 64), 1)
    halved = encode_part(cae, Greedy(IMAGES), slice(0, 64), 1)
    np.testing.assert_allclose(halved.latents, plain.latents, atol=1e-6)
    monkeypatch.setattr(Greedy, "room", 3)
    with pytest.raises(OptionError, match=r"memory for 2 times 4 images of 8×8×1\. Received out of memory"):
        encode_part(cae, Greedy(IMAGES), slice(0, 64), 2)


def test_what_a_part_has_depends_on_the_number_of_images_alone():
    sizes = {n: part_size(n) for n in (1, 1231, 10_000, 100_000, 10**6, 10**9)}
    assert sizes == {1: 64, 1231: 64, 10_000: 313, 100_000: 3125, 10**6: 8192, 10**9: 8192}
