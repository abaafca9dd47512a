"""Networks with residual blocks: what they compute, and what is kept of them."""

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from caescope import CAE
from caescope.errors import OptionError
from caescope.model.hdf5 import format_weights, read_weights
from caescope.model.initialization import new_autoencoder
from caescope.model.layers import Normalization
from caescope.model.options import parse_options
from caescope.model.residual import Residual
from caescope.model.summary import _rows
from caescope.model.weights import get_weights, layer_names, layers_of, set_weights, weight_shapes

SHAPE = (12, 10, 3)


def images_of(shape, n=3, seed=0) -> torch.Tensor:
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


def stir(module, seed=0):
    """Return the module after every weight has moved, so that all branches add something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return module


def new(seed=0, **options):
    given = {"input_shape": SHAPE, "latent_features": 5, "filters": (4, 6), "architecture": "residual"}
    return stir(new_autoencoder(parse_options(**given | options), seed), seed)


def normalised(x: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Normalise pictures (n, h, w, f) as the formula says, in float64."""
    x = x.astype(np.float64)
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("size", [(7, 5, 4), (1, 1, 3), (4, 4, 1)])
def test_normalisation_is_what_the_formula_says(size, rng):
    layer = stir(Normalization(size[2]))
    x = rng.normal(3, 2, (2, *size)).astype(np.float32)
    scale, offset = (weight.detach().numpy() for weight in (layer.weight, layer.bias))
    found = layer(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).detach().numpy()
    np.testing.assert_allclose(found, normalised(x, scale, offset), atol=1e-5)


def test_a_block_is_its_input_and_a_branch_normalised(rng):
    """With kernels of one pixel a convolution is a product of matrices."""
    block = stir(Residual(3, (1, 1)))
    weights = {
        name: [w.detach().numpy() for w in layer.parameters()] for name, layer in block.named_children()
    }
    x = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    branch = silu(normalised(x, *weights["first"]))
    for name in ("narrow", "widen"):
        kernel, bias = weights[name]
        branch = (branch if name == "narrow" else silu(branch)) @ kernel[:, :, 0, 0].T + bias
    expected = silu(normalised(x + branch, *weights["last"]))
    found = block(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).detach().numpy()
    assert block.narrow.out_channels == 2
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_branches_add_nothing_before_training():
    module = new_autoencoder(parse_options(SHAPE, 5, (4, 6), architecture="residual"), seed=0)
    blocks = [block for block in module.modules() if isinstance(block, Residual)]
    assert len(blocks) == 4
    x = torch.randn(2, 4, 6, 5)
    for block in (blocks[0], blocks[-1]):
        assert torch.equal(block(x), F.silu(block.last(x)))
        assert torch.equal(block.first.weight, torch.ones(4))
        assert not block.first.bias.any()
        assert block.narrow.weight.any()


def test_pictures_stay_channels_last():
    """Or every layer would copy what it is given."""
    block, seen = stir(Residual(4, (3, 3))), []
    for layer in block.children():
        layer.register_forward_hook(lambda _, given, made: seen.extend((given[0], made)))
    block(images_of((6, 8, 4)).permute(0, 3, 1, 2))
    assert len(seen) == 8
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


@pytest.mark.parametrize("latent_features", [None, 5])
def test_an_image_does_not_depend_on_the_others_of_its_batch(latent_features):
    module = new(latent_features=latent_features).eval()
    images = images_of(SHAPE, n=6)
    with torch.inference_mode():
        together, alone = module(images), torch.cat([module(image[None]) for image in images])
        brighter = module(torch.cat([images[:1], images[1:] ** 0.1]))
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(together[:1], brighter[:1], atol=1e-6, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_training_and_prediction_are_the_same_function():
    module, images = new(), images_of(SHAPE)
    trained = module.train()(images)
    with torch.inference_mode():
        torch.testing.assert_close(trained.detach(), module.eval()(images), atol=1e-6, rtol=0)


def test_gradients_reach_every_weight():
    module = new()
    images = images_of(SHAPE, n=8)
    F.mse_loss(module(images), images).backward()
    for name, weight in module.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_bfloat16_is_close_to_float32():
    module, images = new(), images_of(SHAPE)
    exact, latents = module(images), module.encoder(images)
    rough = module.encoder(images.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert module(images.bfloat16()).dtype == torch.float32
    assert (rough.float() - latents).norm() < 0.03 * latents.norm()
    assert (module(images.bfloat16()) - exact).abs().max() < 0.03
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}


def test_layers_are_named_as_keras_does_in_the_order_of_the_data():
    module = new()
    branch = ["group_normalization", "conv2d_1", "conv2d_2", "group_normalization_1"]
    after = ["group_normalization_2", "conv2d_4", "conv2d_5", "group_normalization_3"]
    assert layer_names(module.encoder) == ["conv2d", *branch, "conv2d_3", *after, "dense"]
    names = layer_names(module.decoder)
    assert names[:5] == ["dense", "group_normalization", "conv2d", "conv2d_1", "group_normalization_1"]
    assert names[5] == "conv2d_2"
    assert len(set(names)) == len(names) == 11


def test_latents_that_stay_pictures_are_not_refined_twice():
    names = layer_names(new(latent_features=None).decoder)
    assert names == [
        "conv2d",
        "group_normalization",
        "conv2d_1",
        "conv2d_2",
        "group_normalization_1",
        "conv2d_3",
    ]


@pytest.mark.parametrize("latent_features", [None, 5])
def test_weights_come_back_from_a_file_in_their_order(tmp_path, latent_features):
    one, other = new(seed=0, latent_features=latent_features), new(seed=1, latent_features=latent_features)
    for name, source, target in (("e", one.encoder, other.encoder), ("d", one.decoder, other.decoder)):
        arrays = get_weights(source)
        assert [array.shape for array in arrays] == weight_shapes(source)
        (tmp_path / name).write_bytes(format_weights(layer_names(source), arrays))
        set_weights(target, read_weights(tmp_path / name, weight_shapes(target)))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_file_calls_weights_as_keras_does(tmp_path):
    encoder = new().encoder
    (tmp_path / "e.h5").write_bytes(format_weights(layer_names(encoder), get_weights(encoder)))
    with h5py.File(tmp_path / "e.h5") as file:
        stored = {name: list(file[name].attrs["weight_names"]) for name in file.attrs["layer_names"]}
        scale = np.asarray(file["group_normalization_3/group_normalization_3/gamma:0"])
    parts = {"conv2d": ("kernel", "bias"), "dense": ("kernel", "bias"), "group": ("gamma", "beta")}
    for name, weights in stored.items():
        assert weights == [f"{name}/{part}:0" for part in parts[name.split("_")[0]]]
    assert np.array_equal(scale, encoder.refinements[1].last.weight.detach().numpy())


def test_keras_3_numbers_tell_the_order_too(tmp_path):
    """It names layers by kind and number and keeps no order between kinds."""
    decoder = new().decoder
    arrays = get_weights(decoder)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name, weight, bias in zip(layer_names(decoder), arrays[::2], arrays[1::2], strict=True):
            variables = file.create_group(f"layers/{name}/vars")
            variables["0"], variables["1"] = weight, bias
    found = read_weights(tmp_path / "d.h5", weight_shapes(decoder))
    assert all(np.array_equal(a, b) for a, b in zip(found, arrays, strict=True))


@pytest.mark.parametrize("options", [{}, {"latent_features": None}, {"stride": (1, 2), "pool": (3, 1)}])
def test_a_saved_model_encodes_as_before(tmp_path, options, rng):
    options = {"latent_features": 5, "filters": (4, 6), "architecture": "residual", "seed": 0} | options
    cae = CAE(SHAPE, path=tmp_path / "model", **options)
    cae.model.set_weights([array + rng.normal(0, 0.1, array.shape) for array in cae.model.get_weights()])
    cae.save()
    loaded = CAE(path=tmp_path / "model", load=True)
    images = images_of(SHAPE).numpy()
    assert loaded.options == cae.options
    assert loaded.options.architecture == "residual"
    assert np.array_equal(loaded.encoder.predict(images), cae.encoder.predict(images))
    assert np.array_equal(loaded.model.predict(images), cae.model.predict(images))


def test_it_learns():
    images = images_of((8, 8, 1), n=64).numpy() * (np.arange(64) / 63)[:, None, None, None].astype("f4")
    cae = CAE((8, 8, 1), 4, (4,), architecture="residual", seed=0)
    losses = cae.model.fit(images, epochs=15, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("options", [{}, {"latent_features": None}, {"stride": (1, 2), "pool": (3, 1)}])
def test_the_summary_tells_what_layers_really_put_out(options):
    options = {"latent_features": 5, "filters": (4, 6), "architecture": "residual", "seed": 0} | options
    cae = CAE(SHAPE, **options)
    for network in (cae.encoder, cae.decoder):
        shapes, rows = [], _rows(network)
        for _, layer in layers_of(network.module):
            layer.register_forward_hook(lambda _, __, made, shapes=shapes: shapes.append(made.shape[1:]))
        network.module(torch.zeros((1, *network.input_shape)))
        last = [shape if len(shape) == 1 else (*shape[1:], shape[0]) for shape in shapes]
        assert [row[2] for row in rows] == [tuple(shape) for shape in last]
        assert sum(row[3] for row in rows) == network.count_params()
        assert {row[1] for row in rows} >= {"normalisation", "convolution 3×3"}


def test_an_unknown_architecture_lists_the_known_ones():
    with pytest.raises(OptionError, match=r"architecture must be one of plain, residual\. Received architec"):
        parse_options(architecture="transformer")


@pytest.mark.parametrize("unusable", [None, 1, ["residual"], {"residual"}, "Residual", ""])
def test_what_is_no_name_is_no_architecture(unusable):
    with pytest.raises(OptionError, match="architecture must be one of plain, residual"):
        parse_options(architecture=unusable)


def test_blocks_that_no_machine_could_hold_are_refused():
    """The resizing convolutions see 1 channel on one side; a block sees as many on both."""
    assert parse_options((8, 8, 1), 2, (40_000,)).filters == (40_000,)
    with pytest.raises(OptionError, match="must stay below"):
        parse_options((8, 8, 1), 2, (40_000,), architecture="residual")


@pytest.mark.parametrize("options", [{}, {"stride": 2, "pool": 1}, {"kernel": 5, "filters": (2, 3, 4)}])
def test_nothing_is_larger_than_the_largest_activation(options):
    module, seen = new(**options), []
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, made: seen.append(made[0].numel()))
    module(images_of(SHAPE, n=1))
    assert max(seen) <= module.encoder.options.largest_activation


def test_there_is_a_block_for_each_stage():
    module = new(filters=(2, 3, 4))
    for part in (module.encoder, module.decoder):
        assert len(part.refinements) == len(part.convolutions) == 3
    assert [block.first.num_channels for block in module.encoder.refinements] == [2, 3, 4]
    assert [block.first.num_channels for block in module.decoder.refinements] == [4, 3, 2]


@pytest.mark.parametrize(
    ("kernel", "pool", "expected"), [(3, 2, (3, 3)), (3, 4, (4, 4)), ((1, 5), 2, (2, 5))]
)
def test_no_pixel_is_stepped_over(kernel, pool, expected):
    options = parse_options((16, 16, 1), 4, [3], kernel, pool=pool, architecture="residual")
    encoder = new_autoencoder(options, seed=0).encoder
    (convolution,) = encoder.convolutions
    assert convolution.kernel_size == expected
    image = torch.rand(1, 16, 16, 1, requires_grad=True)
    convolution(image.permute(0, 3, 1, 2)).sum().backward()
    assert (image.grad != 0).all()
