import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.analysis.clustering import CLUSTER_METHODS
from caescope.analysis.projection import PROJECTIONS
from caescope.cli.commands import main
from caescope.errors import OptionError
from caescope.model.objective_options import OBJECTIVES
from caescope.model.options import ARCHITECTURES, LATENT_ACTIVATIONS, parse_options
from caescope.model.precision import PRECISIONS
from caescope.recipes import RECIPES
from caescope.views import PRESETS


def test_one_number_becomes_a_pair():
    options = parse_options((28, 28, 1), 20, [8, 16], kernel=3, stride=1, pool=2)
    assert (options.kernel, options.stride, options.pool) == ((3, 3), (1, 1), (2, 2))
    assert options.filters == (8, 16)


def test_numpy_integers_are_integers():
    options = parse_options(np.zeros((28, 28, 1)).shape, np.int64(20), np.array([8, 16]))
    assert options.as_dict()["filters"] == [8, 16]
    assert type(options.as_dict()["latent_features"]) is int


def test_names_are_normalised():
    options = parse_options((8, 8, 1), 2, [4], optimizer="Adamax", lossfn="mean_squared_error")
    assert (options.optimizer, options.lossfn) == ("adamax", "mse")


@pytest.mark.parametrize(
    ("change", "piece"),
    [
        ({"filters": []}, "filters must be"),
        ({"filters": [8, -1]}, "filters must be an integer of at least 1"),
        ({"filters": 8}, "filters must be a sequence"),
        ({"kernel": (3, 3, 3)}, "kernel must be one integer or two"),
        ({"kernel": 0}, "kernel must be an integer of at least 1"),
        ({"stride": 1.5}, "stride must be"),
        ({"pool": "22"}, "pool must be"),
        ({"latent_features": 0}, "latent_features must be an integer of at least 1"),
        ({"latent_features": True}, "latent_features must be an integer of at least 1"),
        ({"input_shape": (28, 28)}, "input_shape must be (height, width, channels)"),
        ({"input_shape": (28, 28, 2)}, "1 channel (grey) or 3 (RGB)"),
        ({"optimizer": "adamix"}, "optimizer must be one of adamax, adam"),
        ({"lossfn": "ssim"}, "lossfn must be one of mse, mae"),
        ({"latent_activation": "tanh"}, "latent_activation must be one of linear, relu"),
        ({"filters": [8] * 40}, "An autoencoder must stay below"),
        ({"input_shape": (10**6, 10**6, 3)}, "An autoencoder must stay below"),
    ],
)
def test_bad_options_get_a_sentence(change, piece):
    with pytest.raises(OptionError) as caught:
        parse_options(**{"input_shape": (28, 28, 1), "latent_features": 20, "filters": (8, 16)} | change)
    assert piece in str(caught.value)
    assert "Received" in str(caught.value)


sizes = st.integers(1, 70)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(height=sizes, width=sizes, stages=st.integers(1, 3), stride=pairs, pool=pairs)
def test_padding_is_the_least_that_every_stage_divides(height, width, stages, stride, pool):
    options = parse_options((height, width, 1), 2, [2] * stages, stride=stride, pool=pool)
    for axis, size in enumerate((height, width)):
        step = (stride[axis] * pool[axis]) ** stages
        padded = options.padded_shape[axis]
        assert padded % step == 0
        assert 0 <= padded - size < step
        assert options.stage_shape[axis] == padded // step


LISTS = {
    "architecture": ARCHITECTURES,
    "objective": tuple(OBJECTIVES),
    "views": tuple(PRESETS),
    "latent_activation": LATENT_ACTIVATIONS,
    "precision": PRECISIONS,
    "map": PROJECTIONS,
    "cluster_method": CLUSTER_METHODS,
    "recipe": RECIPES,
}


@pytest.mark.parametrize("name", LISTS)
def test_the_command_line_offers_what_the_library_knows(name):
    """It has lists of its own, since what would tell it imports torch."""
    options = [option for command in main.commands.values() for option in command.params]
    found = [option.type.choices for option in options if option.name == name]
    assert found
    assert all(tuple(choices) == LISTS[name] for choices in found)
