"""Tables that list image files."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from caescope.data import find_source, open_source
from caescope.errors import DataError, FileFormatError


@pytest.fixture
def tiles(tmp_path):
    """A folder in which each of four images holds its own number."""
    for i, name in enumerate(["a/0.png", "a/1.png", "b/2.png", "3.png"]):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3), i, np.uint8)).save(path)
    return tmp_path / "set"


def write(folder, text, name="tiles.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_gives_order_labels_split_and_columns(tiles):
    rows = ["s1,b/2.png,tumour,0.5,train", "s2, a/0.png,,0.25,test", "s1,3.png,stroma,,test"]
    source = find_source(write(tiles, "\n".join(["slide,path,label,mpp,split", *rows])))
    assert repr(source) == "FolderSource('tiles.csv', 3 images, labelled)"
    assert source.ids.tolist() == ["b/2.png", "a/0.png", "3.png"]
    assert source.labels.tolist() == ["tumour", None, "stroma"]
    assert source.split.tolist() == ["train", "test", "test"]
    assert {name: values.tolist() for name, values in source.columns.items()} == {
        "slide": ["s1", "s2", "s1"],
        "mpp": [0.5, 0.25, None],
    }
    assert source.read(slice(None))[:, 0, 0, 0].tolist() == [2, 0, 3]


def test_a_table_of_paths_alone(tiles):
    source = open_source(str(write(tiles, "path\n3.png\na/1.png\n", "list.CSV")))
    assert (source.labels, source.split, source.columns) == (None, None, {})
    assert source.images[:, 0, 0, 0].tolist() == [3, 1]


def test_a_parquet_table(tiles):
    table = pa.table({"path": ["a/1.png", "b/2.png"], "label": [1, 0], "patient": ["p", None]})
    pq.write_table(table, tiles / "listing")
    source = find_source(tiles / "listing")
    assert source.labels.tolist() == [1, 0]
    assert source.columns["patient"].tolist() == ["p", None]
    assert source.read([1, 0])[:, 0, 0, 0].tolist() == [2, 1]


@pytest.mark.parametrize("name", ["../set/3.png", "/etc/passwd", "a/../../x.png", "", "a/../3.png"])
def test_paths_may_not_lead_out(tiles, name):
    text = f"path,label\n3.png,x\n{name},y\n"
    with pytest.raises(
        FileFormatError, match=r"images in its own folder or below. Received .*leads elsewhere"
    ):
        find_source(write(tiles, text))


def test_links_may_not_lead_out(tiles, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tiles / "3.png").rename(outside / "3.png")
    (tiles / "link.png").symlink_to(outside / "3.png")
    (tiles / "folder").symlink_to(outside)
    (tiles / "inner.png").symlink_to(tiles / "a" / "0.png")
    assert find_source(write(tiles, "path\ninner.png\n")).read([0]).max() == 0
    with pytest.raises(FileFormatError, match=r"link .*link.png to .*outside/3.png"):
        find_source(write(tiles, "path\nlink.png\n"))
    with pytest.raises(FileFormatError, match="'folder', which leads elsewhere"):
        find_source(write(tiles, "path\nfolder/3.png\n"))
    (tmp_path / "alias").symlink_to(tiles)
    assert len(find_source(tmp_path / "alias" / write(tiles, "path\na/0.png\n").name)) == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FileFormatError, "a column path"),
        ("file,label\n3.png,1\n", FileFormatError, "a column path. Received the columns file, label"),
        ("path,label\n", DataError, "must list images. Received none"),
        ("path\n3.png\nx.png\na\n", DataError, "files that exist.*2 of 3 missing, for example x.png"),
        ("path\n3.png\n3.png\n", DataError, "ids must be unique. Received '3.png' 2 times"),
        ("path,label\n3.png\n", FileFormatError, "row 2 of another length"),
        ("path,id\n3.png,7\n", DataError, "a name of its own.*'id'"),
        (
            "path,split\n3.png,dev\n",
            DataError,
            "split must be one of train, validation, test. Received 'dev'",
        ),
        ("path,label\n3.png,\n", DataError, "labels must be known for at least one image"),
    ],
)
def test_tables_that_do_not_fit(tiles, text, error, message):
    with pytest.raises(error, match=message):
        find_source(write(tiles, text))


def test_tables_that_cannot_be_read(tiles):
    (tiles / "a.csv").write_bytes(b"path\n\xff\xfe.png\n")
    with pytest.raises(FileFormatError, match="readable as UTF-8 text"):
        find_source(tiles / "a.csv")
    (tiles / "a.parquet").write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(FileFormatError, match="readable as a Parquet file"):
        find_source(tiles / "a.parquet")
    os.mkfifo(tiles / "pipe.png")
    with pytest.raises(DataError, match=r"missing, for example pipe.png"):
        find_source(write(tiles, "path\npipe.png\n"))
