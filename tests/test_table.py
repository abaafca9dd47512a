"""Tables of latents, of caescope or of whoever else."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caescope.errors import FileFormatError, OptionError
from caescope.table import LatentTable, read_latents

LATENTS = np.arange(6, dtype=np.float32).reshape(3, 2)
IDS = np.array(["a", "b", "c"])


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_a_table_says_what_it_is():
    assert repr(LatentTable(IDS, LATENTS)) == "LatentTable(3 images, 2 latents)"


def test_what_is_written_is_read(tmp_path):
    labels = np.ma.array(["x", "y", "x"], mask=[False, True, False])
    table = LatentTable(IDS, LATENTS, labels=labels, map=LATENTS, columns={"slide": np.array([1, 1, 2])})
    found = read_latents(table.write(tmp_path / "z.parquet"))
    np.testing.assert_array_equal(found.latents, LATENTS)
    np.testing.assert_array_equal(found.map, LATENTS)
    assert (found.ids.tolist(), found.labels.tolist()) == (["a", "b", "c"], ["x", None, "x"])
    assert found.columns["slide"].tolist() == [1, 1, 2]
    assert (found.split, found.clusters, found.errors) == (None, None, None)


def test_labels_are_the_column_of_that_name():
    table = LatentTable(IDS, LATENTS, labels=np.array([1, 2, 3]), columns={"slide": IDS})
    assert table.with_labels("label") is table
    assert table.with_labels("slide").labels.tolist() == ["a", "b", "c"]
    with pytest.raises(OptionError, match=r"Received 'site', which is .* none of the columns label, slide\."):
        table.with_labels("site")
    with pytest.raises(OptionError, match=r"'label', which is .* none of the columns \(none\)\."):
        LatentTable(IDS, LATENTS).with_labels("label")


@pytest.mark.parametrize(
    ("columns", "read_from"),
    [
        ({"emb": LATENTS.tolist()}, "emb"),
        ({"emb": pa.FixedSizeListArray.from_arrays(LATENTS.ravel(), 2), "n": [1, 2, 3]}, "emb"),
        ({"PC10": LATENTS[:, 1], "PC9": LATENTS[:, 0], "age": [1, 2, 3]}, "PC9 to PC10"),
        ({"z001": LATENTS[:, 1], "z000": LATENTS[:, 0], "e_0": [1.0] * 3, "e_1": [1.0] * 3}, "z000 to z001"),
    ],
)
def test_latents_are_found_whatever_they_are_called(tmp_path, columns, read_from):
    found = read_latents(write(tmp_path / "z.parquet", **columns))
    np.testing.assert_array_equal(found.latents, LATENTS)
    assert found.read_from == read_from


@pytest.mark.parametrize("array", [LATENTS, LATENTS.astype(bool), np.ones((3, 2, 2, 1), np.float64)])
def test_an_array_is_a_table_with_a_row_for_each_image(tmp_path, array):
    np.save(tmp_path / "z.npy", array)
    found = read_latents(tmp_path / "z.npy")
    assert (found.ids.tolist(), found.read_from) == (["0", "1", "2"], "the array")
    np.testing.assert_array_equal(found.latents, array.reshape(3, -1).astype(np.float32))


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (LATENTS[0], r"shape \(2,\) and dtype float32"),
        (LATENTS[:0], r"shape \(0, 2\) and dtype float32"),
        (np.array([["a"]]), r"shape \(1, 1\) and dtype <U1"),
    ],
)
def test_an_array_of_no_latents_is_refused(tmp_path, array, received):
    np.save(tmp_path / "z.npy", array)
    match = (
        rf"z\.npy must hold latents of shape \(n_images, latent_features\)\. Received an array of {received}"
    )
    with pytest.raises(FileFormatError, match=match):
        read_latents(tmp_path / "z.npy")


@pytest.mark.parametrize(
    ("columns", "received"),
    [
        ({"z000": pa.array([], pa.float32())}, "0 rows with the columns z000"),
        ({"z000": [1.0], "z002": [1.0]}, "1 rows with the columns z000, z002"),
        ({"age": [1.0], "emb_0": [1.0]}, "1 rows with the columns age, emb_0"),
        ({"a": [[1.0]], "b": [[1.0]]}, "1 rows with the columns a, b"),
    ],
)
def test_a_table_of_no_latents_is_refused(tmp_path, columns, received):
    path = write(tmp_path / "z.parquet", **columns)
    with pytest.raises(
        FileFormatError, match=rf"z\.parquet must hold latents in .*Received {received}\. Write"
    ):
        read_latents(path)


def test_lists_of_latents_are_whole_and_of_one_length(tmp_path):
    for rows, match in (([[1.0], None], "column emb has 1 empty cells"), ([[1.0], [1.0, 2.0]], "same shape")):
        path = write(tmp_path / "z.parquet", emb=rows)
        with pytest.raises(FileFormatError, match=rf"readable as a Parquet file\. .*{match}"):
            read_latents(path)


def test_latents_may_not_be_missing(tmp_path):
    path = write(tmp_path / "z.parquet", z000=[1.0, None])
    with pytest.raises(
        FileFormatError, match=r"readable as a Parquet file\. .*column z000 has 1 empty cells"
    ):
        read_latents(path)


def test_columns_of_other_kinds_say_nothing(tmp_path):
    lists = pa.array([["x"], ["y"], ["z"]])
    path = write(tmp_path / "z.parquet", z000=[1.0, 2.0, 3.0], tags=lists, none=pa.nulls(3), age=[7, 8, 9])
    assert {name: values.tolist() for name, values in read_latents(path).columns.items()} == {
        "age": [7, 8, 9]
    }
