"""The numbers of images, and the names that they make."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.data import find_source
from caescope.data.numbers import Numbers, numbers_of

N = 7
MANY = 10**7


@given(
    st.slices(N)
    | st.lists(st.integers(-N, N - 1), max_size=9).map(lambda rows: np.array(rows, int))
    | st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
)
def test_images_are_asked_for_as_from_an_array(rows):
    assert numbers_of(rows, N).tolist() == np.arange(N)[rows].tolist()
    names = Numbers(N)[rows]
    assert names.tolist() == [str(number) for number in np.arange(N)[rows]]
    assert names.dtype == "U1"


@pytest.mark.parametrize("rows", [[N], [-N - 1], np.array([0, 2**40]), [True] * (N - 1), [0.5]])
def test_images_that_are_not_there(rows):
    with pytest.raises(IndexError, match=r"out of bounds|boolean|integer"):
        numbers_of(rows, N)


def test_one_name_all_names_and_none():
    names = pickle.loads(pickle.dumps(Numbers(11)))
    assert (names[3], names[-1], names[np.int64(0)]) == ("3", "10", "0")
    assert names.tolist() == np.asarray(names).tolist() == [str(number) for number in range(11)]
    assert (names.shape, len(names), len(Numbers(0)[:])) == ((11,), 11, 0)
    assert names.dtype == np.asarray(names).dtype
    assert np.isin(names, ["4", "40"]).sum() == 1


def test_images_without_names_take_no_memory_until_they_are_asked_for(tmp_path):
    """Ten million names would be 280 MB, and their numbers 80."""
    np.lib.format.open_memmap(tmp_path / "many.npy", "w+", np.uint8, (MANY, 1, 1))
    tracemalloc.start()
    try:
        source = find_source(tmp_path / "many.npy")
        read, some = source.read(slice(MANY - 3, MANY)), source.ids[MANY - 2 :]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (read.shape, some.tolist()) == ((3, 1, 1, 1), [str(MANY - 2), str(MANY - 1)])
    assert most < 2**20
