import numpy as np
import pytest

from caescope.errors import OptionError
from caescope.parsing import parse_integer, parse_seed


@pytest.mark.parametrize("value", [1, 11, np.int64(5), np.uint8(3)])
def test_integers_of_any_kind_become_python_integers(value):
    assert parse_integer(value, "k", 1, 11) == value
    assert type(parse_integer(value, "k", 1, 11)) is int


@pytest.mark.parametrize("value", [0, 12, 3.0, "3", True, None, np.float64(3), [3]])
def test_everything_else_is_refused(value):
    with pytest.raises(OptionError) as caught:
        parse_integer(value, "k", 1, 11)
    assert str(caught.value).startswith(f"k must be an integer from 1 to 11. Received k={value!r}.")


def test_seeds_are_what_numpy_takes():
    assert parse_seed(2**32 - 1) == 2**32 - 1
    np.random.RandomState(parse_seed(2**32 - 1))
    for bad in (-1, 2**32):
        with pytest.raises(OptionError, match="seed must be an integer from 0"):
            parse_seed(bad)
