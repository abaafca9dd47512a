"""Weights that cannot be set leave a network as it was."""

import numpy as np
import pytest

from caescope.errors import ModelError
from caescope.model.initialization import new_autoencoder
from caescope.model.options import parse_options
from caescope.model.weights import get_weights, layer_names, set_weights


@pytest.fixture
def autoencoder():
    return new_autoencoder(parse_options((8, 8, 1), 3, [2, 4]), 0)


def without_last(arrays):
    return arrays[:-1]


def transposed_dense(arrays):
    return [*arrays[:-2], arrays[-2].T, arrays[-1]]


def strings(arrays):
    return [*arrays[:-1], np.full(arrays[-1].shape, "a")]


def nothing_for_numbers(arrays):
    return [*arrays[:-1], np.full(arrays[-1].shape, None)]


def complex_numbers(arrays):
    return [*arrays[:-1], arrays[-1] + 1j]


def ragged(arrays):
    return [*arrays[:-1], [1, [2]]]


SPOILED = {
    without_last: "must have the shapes",
    transposed_dense: "must have the shapes",
    strings: "must be arrays of numbers",
    nothing_for_numbers: "must be arrays of numbers",
    complex_numbers: "must be arrays of numbers",
    ragged: "must be arrays of numbers",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_weights_that_do_not_fit_change_nothing(autoencoder, spoil):
    before = get_weights(autoencoder.encoder)
    with pytest.raises(ModelError, match=SPOILED[spoil]):
        set_weights(autoencoder.encoder, spoil([np.ones_like(array) for array in before]))
    after = get_weights(autoencoder.encoder)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, np.int64])
def test_numbers_of_any_precision_can_be_set(autoencoder, dtype):
    arrays = [np.full(array.shape, 2, dtype) for array in get_weights(autoencoder.decoder)]
    set_weights(autoencoder.decoder, arrays)
    assert all((array == 2).all() for array in get_weights(autoencoder.decoder))


def test_layers_are_named_in_the_order_of_the_data(autoencoder):
    assert layer_names(autoencoder.encoder) == ["conv2d", "conv2d_1", "dense"]
    assert layer_names(autoencoder.decoder) == ["dense", "conv2d", "conv2d_1"]


def test_what_get_weights_returns_is_a_copy(autoencoder):
    for array in get_weights(autoencoder.encoder):
        array += 1
    before = get_weights(new_autoencoder(autoencoder.encoder.options, 0).encoder)
    assert all(np.array_equal(a, b) for a, b in zip(before, get_weights(autoencoder.encoder), strict=True))
