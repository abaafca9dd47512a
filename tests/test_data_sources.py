import gzip
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caescope import data
from caescope.data import ArraySource, load_labels, open_source, split_source
from caescope.errors import DataError, FileFormatError, OptionError

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


def to_idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def test_a_source_is_parsed_and_says_what_it_is():
    source = ArraySource(IMAGES, labels=list("abcabc"), name="letters")
    assert repr(source) == "ArraySource('letters', 6 images of 4×5×1, uint8, labelled)"
    assert (len(source), source.shape) == (6, (4, 5, 1))
    assert source.ids.tolist() == list("012345")
    np.testing.assert_array_equal(source.read([5, 0])[..., 0], IMAGES[[5, 0]])
    np.testing.assert_array_equal(source.read(source.labels == "b")[..., 0], IMAGES[[1, 4]])


def test_booleans_are_black_and_white():
    images = ArraySource(IMAGES > 60).images
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[..., 0], IMAGES > 60)


@pytest.mark.parametrize(
    "labels",
    [[3, -1, 3, 70, 0, 0], [0.5, 1, 2, 2, 1, 1], [True, False] * 3, list("ab") * 3, np.array([b"x"] * 6),
     np.array(["a", "b"] * 3, dtype=object), (1,) * 6],
)  # fmt: skip
def test_labels_of_any_kind(labels):
    found = ArraySource(IMAGES, labels).labels
    assert found.dtype.kind in "biufU"
    assert found.tolist() == [x.decode() if isinstance(x, bytes) else x for x in labels]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [1, 2]}, "2 labels for 6 images"),
        ({"labels": np.zeros((6, 2))}, r"shape \(6, 2\) labels for 6 images"),
        ({"labels": [[1], [1, 2]]}, "one value for each image"),
        ({"labels": [np.zeros((2, 3)), np.zeros((2, 4))]}, "one value for each image"),
        ({"labels": 3}, r"shape \(\) labels"),
        ({"labels": [None, np.nan] * 3}, "labels must be known for at least one image"),
        ({"labels": [1, np.inf, 1, 1, 1, 1]}, "some infinite"),
        ({"columns": {"slide": list("abc")}}, "3 column slide for 6 images"),
        ({"columns": {"map_x": range(6)}}, "a name of its own.* Received 'map_x'"),
        ({"labels": [1j] * 6}, "dtype complex"),
        ({"ids": list("abcab")}, "5 ids for 6 images"),
        ({"ids": list("abcdea")}, "'a' 2 times"),
        ({"split": ["train"] * 5}, "5 split for 6 images"),
        ({"split": ["train"] * 5 + ["dev"]}, "one of train, validation, test. Received 'dev'"),
        ({"images": IMAGES[0]}, "must have shape"),
        ({"images": IMAGES.astype(str)}, "images must hold numbers. Received dtype <U3"),
        ({"images": IMAGES * 1j}, "images must hold numbers. Received dtype complex128"),
        ({"images": IMAGES * np.nan}, "must be finite"),
        ({"images": IMAGES * 1.0}, r"must lie in \[0, 1\]"),
        ({"images": IMAGES[:0]}, "at least one image"),
    ],
)
def test_fields_must_fit_one_another(fields, message):
    with pytest.raises(DataError, match=message):
        ArraySource(**{"images": IMAGES, **fields})


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        ([1, None, 3, 3, 3, 3], [1, None, 3, 3, 3, 3]),
        ([1.5, np.nan, 3, 3, 3, 3], [1.5, None, 3, 3, 3, 3]),
        (["a", np.nan, "c", "c", "c", None], ["a", None, "c", "c", "c", None]),
        (np.ma.array(list("abcabc"), mask=[0, 1, 0, 0, 0, 0]), ["a", None, "c", "a", "b", "c"]),
    ],
)
def test_labels_may_be_missing(labels, known):
    source = ArraySource(IMAGES, labels)
    assert source.labels.tolist() == known
    assert isinstance(source.labels, np.ma.MaskedArray)
    assert source.labels[[1, 0]].mask.tolist() == [True, False]


@pytest.mark.parametrize("field", ["labels", "split", "ids"])
def test_one_long_text_does_not_take_its_room_for_each_image(field):
    texts = ["a" * 20_000, *map(str, range(49_999))]
    with pytest.raises(
        DataError, match=f"{field} must be at most 1,000 characters long where there are many"
    ):
        ArraySource(np.zeros((50_000, 1, 1), np.uint8), **{field: texts})


def test_messages_name_the_source():
    with pytest.raises(DataError, match=r"images of a\.npy must have"):
        ArraySource(IMAGES[0], name="a.npy")


# --- open_source: every kind gives the same images


def write_idx(folder):
    (folder / "a.bin").write_bytes(gzip.compress(to_idx(IMAGES)))
    return folder / "a.bin"


def write_npy(folder):
    np.save(folder / "a.npy", IMAGES)
    return str(folder / "a.npy")


def write_npz(folder):
    np.savez(folder / "a.npz", images=IMAGES)
    return folder / "a.npz"


def write_folder(folder):
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    "write",
    [lambda _: IMAGES, lambda _: IMAGES.tolist(), lambda _: ArraySource(IMAGES),
     write_idx, write_npy, write_npz, write_folder],
    ids=["array", "list", "source", "idx", "npy", "npz", "folder"],
)  # fmt: skip
def test_every_kind_of_source_conforms(tmp_path, write):
    source = open_source(write(tmp_path), labels=np.arange(6))
    np.testing.assert_array_equal(source.images[..., 0], IMAGES)
    assert source.images.dtype == np.uint8
    assert len(source) == len(source.ids) == len(set(source.ids.tolist())) == 6
    assert source.split is None
    assert source.labels.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(source.read(slice(2, 4))[..., 0], IMAGES[2:4])


def test_open_source_leaves_a_source_as_it_is():
    source = ArraySource(IMAGES)
    assert open_source(source) is source


def test_open_names(monkeypatch, shared_data):
    assert repr(open_source("digits")) == repr(data.load_digits())
    monkeypatch.setenv("CAESCOPE_CACHE", str(shared_data / "mnist"))
    by_name, by_folder = open_source("mnist"), open_source(shared_data / "mnist")
    for source in (by_name, by_folder):
        assert source.images.shape == (70_000, 28, 28, 1)
        assert [(source.split == name).sum() for name in data.SPLITS] == [60_000, 0, 10_000]
    np.testing.assert_array_equal(by_name.labels, by_folder.labels)
    assert by_name.ids[[0, 60_000]].tolist() == ["train/0", "test/0"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["mnist.pkl", "mnist.pkl.gz", "mnist"])
def test_open_pickle(tmp_path, name, pack):
    X, y = np.full((3, 784), 0.5, np.float32), np.array([5, 0, 4])
    (tmp_path / name).write_bytes(pack(pickle.dumps(((X, y), (X[:2], y[:2]), (X[:1], y[:1])), protocol=4)))
    source = open_source(tmp_path / name)
    assert source.images.shape == (6, 28, 28, 1)
    assert source.split.tolist() == ["train"] * 3 + ["validation"] * 2 + ["test"]
    assert source.labels.tolist() == [5, 0, 4, 5, 0, 5]


def test_a_folder_of_idx_files(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(IMAGES))
    alone = open_source(tmp_path)
    assert (len(alone), alone.labels, alone.split) == (6, None, None)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(to_idx(IMAGES[:2])))
    assert open_source(tmp_path).split.tolist() == ["train"] * 6 + ["test"] * 2
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(to_idx(np.arange(6, dtype=np.uint8)))
    with pytest.raises(DataError, match="labels and none"):
        open_source(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(to_idx(np.arange(3, dtype=np.uint8)))
    with pytest.raises(DataError, match="3 labels for 2 images"):
        open_source(tmp_path)


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_links_in_a_folder_of_idx_files_stay_in_it(tmp_path, kind):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, array in {"images-idx3": IMAGES, "labels-idx1": np.arange(6)}.items():
        (folder / f"train-{name}-ubyte").write_bytes(to_idx(array))
    link = folder / f"train-{kind}-ubyte"
    link.rename(folder / "hidden")
    link.symlink_to("hidden")
    assert open_source(folder).labels.tolist() == list(range(6))
    (folder / "hidden").rename(tmp_path / "outside")
    link.unlink()
    link.symlink_to("../outside")
    with pytest.raises(FileFormatError, match="must lead to a file in that folder"):
        open_source(folder)


UNKNOWN = "A source is an array .* a MNIST pickle .* IDX, NPY or NPZ file, a folder of images"


@pytest.mark.parametrize("content", [b"", b"some text", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7"])
def test_other_files_get_the_list_of_what_is_understood(tmp_path, content):
    (tmp_path / "a.xyz").write_bytes(content)
    with pytest.raises(FileFormatError, match=UNKNOWN):
        open_source(tmp_path / "a.xyz")


@pytest.mark.parametrize("source", [None, 1j, {"a": 1}, [[1], [2, 3]], np.array(["a"]), object()])
def test_other_objects_get_the_list_too(source):
    with pytest.raises(FileFormatError, match=UNKNOWN):
        open_source(source)


@pytest.mark.parametrize("name", ["a\0.npy", "a" * 10_000, "\udcff\ud800.npy"])
def test_names_that_no_file_can_have_are_of_none(name):
    with pytest.raises(FileFormatError, match=r"must exist\. Received no such file"):
        open_source(name)


def test_a_file_with_more_holes_than_content_is_not_whole(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    os.truncate(tmp_path / "a.npy", 2**40)
    with pytest.raises(
        FileFormatError, match=r"a\.npy must be whole\. Received 1,099,511,627,776 bytes of which"
    ):
        open_source(tmp_path / "a.npy")


def test_bad_sources_of_a_known_kind(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        open_source(tmp_path / "nowhere.npz")
    with pytest.raises(FileFormatError, match=f"no such file or folder.*{UNKNOWN}"):
        open_source("digit")
    with pytest.raises(DataError, match="must have shape"):
        open_source(np.zeros(5))
    np.save(tmp_path / "flat.npy", np.zeros((5, 784)))
    with pytest.raises(DataError, match=r"images of flat.npy must have shape.*\(5, 784\)"):
        open_source(tmp_path / "flat.npy")
    (tmp_path / "labels").write_bytes(to_idx(np.arange(3, dtype=np.uint8)))
    with pytest.raises(DataError, match=r"images of labels must have shape.*\(3,\)"):
        open_source(tmp_path / "labels")
    (tmp_path / "cut.npy").write_bytes(gzip.compress(to_idx(IMAGES))[:-5])
    with pytest.raises(FileFormatError, match="EOFError"):
        open_source(tmp_path / "cut.npy")


# --- labels from files

IDS = np.array(["a.png", "b/c.png", "d.png"])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("y.txt", "cat\ndog\ncat\n", ["cat", "dog", "cat"]),
        ("y.TXT", "3\n-1\n20", [3, -1, 20]),
        ("y.txt", "007\n1\n2", ["007", "1", "2"]),
        ("y.csv", "label\ncat\ndog\n\ncat\n", ["cat", "dog", "cat"]),
        ("y.csv", "\ufeffid, label\r\nd.png,3\r\na.png,1\r\nb/c.png,2\r\nz.png,9\r\n", [1, 2, 3]),
        ("y.csv", 'label,path\n"x, y",d.png\nu,a.png\nv,b/c.png\n', ["u", "v", "x, y"]),
        ("y.csv", "label,slide\n1.5,a\n,b\n2,c\n", [1.5, None, 2.0]),
        ("y.txt", "a\n\nb\n", ["a", None, "b"]),
    ],
)
def test_labels_from_text(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert load_labels(tmp_path / name, IDS).tolist() == expected


def test_labels_from_arrays_in_files(tmp_path):
    (tmp_path / "y").write_bytes(gzip.compress(to_idx(np.array([3, 1, 2], np.uint8))))
    np.save(tmp_path / "y.npy", np.array(["u", "v", "u"]))
    assert open_source(IMAGES[:3], labels=tmp_path / "y").labels.tolist() == [3, 1, 2]
    assert open_source(IMAGES[:3], labels=str(tmp_path / "y.npy")).labels.tolist() == ["u", "v", "u"]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("y.txt", b"a\nb\n", DataError, "2 labels for 3 images"),
        ("y.txt", b"\n\n \n", DataError, "known for at least one image"),
        ("y.txt", b"", DataError, "0 labels for 3 images"),
        ("y.txt", b"\xff\xfe\x80", FileFormatError, "readable as UTF-8 text"),
        ("y.csv", b"", FileFormatError, "a column label"),
        ("y.csv", b"id\na.png\n", FileFormatError, "a column label, or others"),
        ("y.csv", b"id,label,label\na.png,1,2\n", FileFormatError, "a name that comes twice"),
        ("y.csv", b"label,map_x\n1,2\n1,2\n1,2\n", DataError, "a name of its own"),
        ("y.parquet", b"PAR1PAR1", FileFormatError, "readable as a Parquet file"),
        (
            "y.csv",
            b"id,class\na.png,1\nd.png,1\nb/c.png,1\n",
            FileFormatError,
            "a column label.* the columns class",
        ),
        ("y.csv", b"label\na\nb\n", DataError, "2 labels for 3 images"),
        ("y.csv", b"id,label\na.png,1\nb/c.png\n", FileFormatError, "row 3 of another length"),
        ("y.csv", b"id,label\na.png,1\nd.png,1\n", DataError, "1 of 3 images missing, for example b/c.png"),
        (
            "y.csv",
            b"id,label\na.png,1\nd.png,1\nb/c.png,1\nd.png,2\n",
            DataError,
            "1 rows that repeat a name",
        ),
        ("y.csv", b'id,label\n"a.png,1\n', FileFormatError, "readable as a CSV table"),
        ("y.csv", b"label\n" + b"x" * 200_000, FileFormatError, "readable as a CSV table"),
        ("y.json", b"[1, 2, 3]", FileFormatError, "NPY, IDX, Parquet, .csv and .txt"),
        ("y", to_idx(np.zeros((3, 2), np.uint8)), DataError, r"shape \(3, 2\) labels"),
        ("y.csv.gz", b"\x1f\x8b\x08", FileFormatError, "EOFError"),
    ],
)
def test_label_files_that_do_not_fit(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        load_labels(tmp_path / name, IDS)


def test_other_columns_of_a_table_of_labels_come_along(tmp_path):
    table = {"id": ["2", "0", "1"], "label": ["c", "a", "b"], "slide": [2, 0, None], "x": [0.5, 1, 2]}
    text = "id,label,slide,x\n2,c,2,0.5\n0,a,0,1\n1,b,,2\n"
    (tmp_path / "y.csv").write_text(text)
    pq.write_table(pa.table(table), tmp_path / "y.parquet")
    for name in ("y.csv", "y.parquet"):
        source = open_source(IMAGES[:3], labels=tmp_path / name)
        assert source.labels.tolist() == ["a", "b", "c"]
        assert {key: values.tolist() for key, values in source.columns.items()} == {
            "slide": [0, None, 2],
            "x": [1.0, 2.0, 0.5],
        }


def test_a_table_without_labels_leaves_the_sources_own(tmp_path):
    (tmp_path / "slides.csv").write_text("slide\na\nb\na\n")
    source = open_source(ArraySource(IMAGES[:3], [1, 2, 3]), labels=tmp_path / "slides.csv")
    assert source.labels.tolist() == [1, 2, 3]
    assert source.columns["slide"].tolist() == ["a", "b", "a"]


@pytest.mark.parametrize("name", ["y.csv", "y.txt"])
def test_tables_of_too_many_cells_are_refused(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text("label\n" + "1\n" * 30)
    monkeypatch.setattr("caescope.data.labels.MAX_CELLS", 20)
    with pytest.raises(
        FileFormatError, match=rf"{name} must hold at most 20 cells\. Received about 3\d\. Leave"
    ):
        load_labels(tmp_path / name, IDS)


def test_missing_label_file(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        open_source(IMAGES, labels=tmp_path / "y.csv")


# --- split_source


def sizes(source):
    return [int((source.split == name).sum()) for name in data.SPLITS]


def blank(n, split=None):
    return ArraySource(np.zeros((n, 1, 1), np.uint8), split=split)


def test_split_sizes_and_seeds():
    source = blank(200)
    first, same, other = (split_source(source, seed=seed) for seed in (0, 0, 1))
    assert sizes(first) == sizes(other) == [160, 20, 20]
    assert first.split.tolist() == same.split.tolist() != other.split.tolist()
    assert sizes(split_source(source, 0, fractions=(0.5, 0.2, 0.3))) == [100, 40, 60]
    assert source.split is None


def test_a_complete_split_is_kept():
    split = ["test", "train", "validation", "train"]
    assert split_source(blank(4, split), seed=3).split.tolist() == split


def test_a_missing_validation_is_a_tenth_of_train():
    before = np.repeat(["train", "test"], [60, 10])
    after = split_source(blank(70, before), seed=0)
    assert sizes(after) == [54, 6, 10]
    assert (after.split[before == "test"] == "test").all()


def test_a_missing_test_is_drawn_from_train():
    before = np.repeat(["train", "validation"], [50, 7])
    after = split_source(blank(57, before), seed=0)
    assert sizes(after) == [45, 7, 5]
    assert (after.split[before == "validation"] == "validation").all()


@settings(max_examples=100, deadline=None)
@given(n=st.integers(3, 60), parts=st.tuples(*[st.integers(1, 100)] * 3), seed=st.integers(0, 2**32 - 1))
def test_every_split_gets_an_image(n, parts, seed):
    source = split_source(blank(n), seed, [part / sum(parts) for part in parts])
    assert min(sizes(source)) >= 1
    assert sum(sizes(source)) == n


@pytest.mark.parametrize(
    "source",
    [blank(1), blank(2), blank(1, ["train"]), blank(2, ["train", "test"]), blank(2, ["validation", "test"]),
     blank(3, ["test"] * 3)],
    ids=repr,
)  # fmt: skip
def test_too_few_images_to_split(source):
    with pytest.raises(DataError, match="at least one for each of train, validation and test"):
        split_source(source, seed=0)


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.2), (0.8, 0.2, 0.0), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (np.nan, 0.5, 0.5), "abc", 0.8, None],
)
def test_fractions_that_do_not_add_up(fractions):
    with pytest.raises(OptionError, match=r"fractions must be three numbers above 0 that add up to 1"):
        split_source(blank(9), 0, fractions)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None, True])
def test_seeds_are_integers(seed):
    with pytest.raises(OptionError, match="seed must be an integer"):
        split_source(blank(9), seed)


def test_the_exported_names():
    assert sorted(data.__all__) == sorted({*data.__all__})
    assert all(hasattr(data, name) for name in data.__all__)
    assert {"load_mnist_pickle", "load_mnist", "load_digits", "load_idx", "load_folder"} <= set(data.__all__)
