import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from caescope.model.architecture import Autoencoder, Decoder, Encoder
from caescope.model.hdf5 import hash_weights
from caescope.model.initialization import new_autoencoder
from caescope.model.options import ARCHITECTURES, parse_options
from caescope.model.weights import get_weights


def images_of(shape, n=2, seed=0):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(28, 28), (30, 30), (100, 100), (28, 37), (1, 1), (5, 64)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_reconstruction_has_the_input_shape(size, channels, architecture):
    options = parse_options((*size, channels), 7, [3, 4], architecture=architecture)
    module = new_autoencoder(options, seed=0)
    images = images_of(options.input_shape)
    assert module.encoder(images).shape == (2, 7)
    assert module(images).shape == images.shape


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    channels=st.sampled_from([1, 3]),
    filters=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    kernel=pairs,
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pool=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    latent_features=st.sampled_from([None, 1, 5]),
    architecture=st.sampled_from(ARCHITECTURES),
)
def test_any_options_give_the_input_shape_back(
    size, channels, filters, kernel, stride, pool, latent_features, architecture
):
    options = parse_options(
        (*size, channels), latent_features, filters, kernel, stride, pool, architecture=architecture
    )
    module = new_autoencoder(options, seed=0)
    images = images_of(options.input_shape)
    latents = module.encoder(images)
    assert latents.shape == (2, *options.latent_shape)
    assert module.decoder(latents).shape == images.shape


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_latent_features_the_latents_stay_convolutional(architecture):
    options = parse_options((28, 28, 1), None, [8, 16], architecture=architecture)
    assert new_autoencoder(options, seed=0).encoder(images_of((28, 28, 1))).shape == (2, 7, 7, 16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_uint8_is_the_same_as_float(architecture):
    options = parse_options((12, 12, 3), 4, [4], architecture=architecture)
    module = new_autoencoder(options, seed=0)
    images = torch.randint(0, 256, (3, 12, 12, 3), dtype=torch.uint8)
    assert torch.equal(module(images), module(images / 255))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize(("latent_features", "shape"), [(4, (30,)), (None, (3, 2, 5))])
def test_features_and_latents_are_the_two_halves_of_the_encoder(
    architecture, activation, latent_features, shape
):
    options = parse_options(
        (12, 8, 1), latent_features, [3, 5], latent_activation=activation, architecture=architecture
    )
    encoder = new_autoencoder(options, seed=0).encoder
    images = images_of((12, 8, 1))
    features = encoder.features(images)
    assert features.shape == (2, *shape)
    assert torch.equal(encoder.latents(features), encoder(images))


def test_a_plain_network_is_what_can_be_written_down_in_full():
    """Convolution, maximum and ReLU, for each stage; then nearest up-sampling and convolution."""
    options = parse_options((8, 12, 3), 4, [5, 6])
    module, x = new_autoencoder(options, seed=0), images_of((8, 12, 3)).permute(0, 3, 1, 2)
    encoder, decoder = module.encoder, module.decoder
    for layer in encoder.convolutions:
        x = F.max_pool2d(F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1)), 2)
    latents = F.linear(x.permute(0, 2, 3, 1).flatten(1), encoder.dense.weight, encoder.dense.bias)
    x = F.linear(latents, decoder.dense.weight, decoder.dense.bias)
    x = x.unflatten(1, (2, 3, 6)).permute(0, 3, 1, 2)
    for layer in decoder.convolutions:
        x = F.interpolate(F.relu(x), scale_factor=2, mode="nearest")
        x = F.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(encoder(images_of((8, 12, 3))), latents)
    torch.testing.assert_close(module(images_of((8, 12, 3))), torch.sigmoid(x).permute(0, 2, 3, 1))


def test_a_seed_gives_a_plain_network_the_weights_that_it_always_gave():
    module = new_autoencoder(parse_options((28, 28, 1), 20, (16, 32)), seed=3)
    assert [hash_weights(get_weights(part))[:16] for part in (module.encoder, module.decoder)] == [
        "f3f4803795fa64d2",
        "4507bb52c8742f15",
    ]
    names = [name for name, _ in module.encoder.named_parameters()]
    assert names[:2] == ["convolutions.0.weight", "convolutions.0.bias"]
    assert len(names) == 6


def test_pooling_before_relu_equals_relu_before_pooling():
    options = parse_options((16, 16, 1), None, [5])
    encoder = new_autoencoder(options, seed=0).encoder
    images = images_of((16, 16, 1))
    convolved = encoder.convolutions[0](images.permute(0, 3, 1, 2))
    plain = F.max_pool2d(F.relu(convolved), 2).permute(0, 2, 3, 1)
    assert torch.equal(encoder(images), plain)


def test_the_crop_undoes_the_padding():
    # A decoder that only repeats pixels, behind an encoder that only takes every other one
    options = parse_options((3, 5, 1), None, [1], kernel=1, stride=2, pool=1)
    module = new_autoencoder(options, seed=0)
    for convolution in (module.encoder.convolutions[0], module.decoder.convolutions[0]):
        torch.nn.init.ones_(convolution.weight)
    latents = torch.arange(6.0).reshape(1, 2, 3, 1)
    repeated = latents[0, :, :, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.allclose(module.decoder(latents)[0, :, :, 0], torch.sigmoid(repeated[:3, :5]))
    image = images_of((3, 5, 1), n=1)
    padded = F.pad(image[0, :, :, 0], (0, 1, 0, 1))
    assert torch.equal(module.encoder(image)[0, :, :, 0], padded[::2, ::2])


def test_relu_latents_are_never_negative():
    images = images_of((8, 8, 1), n=50)
    for activation, has_negative in (("linear", True), ("relu", False)):
        encoder = new_autoencoder(parse_options((8, 8, 1), 9, [4], latent_activation=activation), 0).encoder
        assert bool((encoder(images) < 0).any()) == has_negative


def test_the_decoder_mirrors_the_encoder():
    options = parse_options((32, 32, 3), 6, [4, 8, 16])
    shapes = [tuple(layer.weight.shape[:2]) for layer in Decoder(options).convolutions]
    assert shapes == [(8, 16), (4, 8), (3, 4)]
    assert [tuple(layer.weight.shape[:2]) for layer in Encoder(options).convolutions] == [
        (4, 3),
        (8, 4),
        (16, 8),
    ]


def test_first_weights_depend_on_the_seed_alone():
    options = parse_options((8, 8, 1), 3, [2])
    before = torch.random.get_rng_state()
    first, again, other = (new_autoencoder(options, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.encoder.dense.weight, other.encoder.dense.weight)


def test_first_weights_are_glorot_uniform():
    module: Autoencoder = new_autoencoder(parse_options((32, 32, 3), 64, [16]), seed=0)
    weight = module.encoder.dense.weight.detach().numpy()
    bound = np.sqrt(6 / sum(weight.shape))
    assert np.abs(weight).max() <= bound
    assert np.std(weight) == pytest.approx(bound / np.sqrt(3), rel=0.01)
    assert not module.encoder.dense.bias.any()
