"""Keras itself reads what we write, and we read what Keras writes."""

import warnings

import h5py
import numpy as np
import pytest
import torch
import yaml

from caescope import CAE
from caescope.errors import InputError
from caescope.model.hdf5 import read_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")
keras = pytest.importorskip("keras", reason="needs Keras 3, which the extra dev installs")

# Of random weights: latents are of the size of 1, where sums in float32 differ by far less
# than 1e-5 in whichever order they are taken; at 0.3 latents reach 18, and Keras itself is 1e-5 off
SPREAD = 0.1

OPTIONS = {
    "grey": {"input_shape": (28, 28, 1), "latent_features": 20, "filters": [8, 16]},
    "colour": {"input_shape": (16, 24, 3), "latent_features": 5, "filters": [4, 6, 8], "kernel": (3, 5)},
    "even kernel": {"input_shape": (16, 16, 1), "latent_features": 4, "filters": [3, 5], "kernel": (2, 4)},
    "stride": {"input_shape": (24, 24, 3), "latent_features": 4, "filters": [3], "stride": 2, "pool": (2, 3)},
    "relu": {"input_shape": (8, 8, 1), "latent_features": 9, "filters": [4], "latent_activation": "relu"},
    "convolutional": {"input_shape": (16, 16, 1), "latent_features": None, "filters": [4, 6]},
    "many stages": {"input_shape": (24, 16, 1), "latent_features": 3, "filters": [2] * 12, "pool": 1},
    "residual": {
        "input_shape": (28, 28, 1),
        "latent_features": 20,
        "filters": [16, 32],
        "architecture": "residual",
    },
    "residual in colour": {
        "input_shape": (24, 36, 3),
        "latent_features": 5,
        "filters": [4, 7],
        "kernel": (3, 5),
        "stride": 2,
        "pool": (1, 3),
        "architecture": "residual",
    },
    "residual, convolutional": {
        "input_shape": (16, 16, 1),
        "latent_features": None,
        "filters": [4, 6],
        "architecture": "residual",
    },
}


def keras_encoder(options):
    layers = keras.layers
    stack = [keras.Input(options.input_shape)]
    for n in options.filters:
        if options.architecture == "residual":
            kernel, step = options.encoder_kernel, options.downsampling
            stack += [layers.Conv2D(n, kernel, strides=step, padding="same"), block(n, options.kernel)]
            continue
        stack += [
            layers.Conv2D(n, options.kernel, strides=options.stride, padding="same", activation="relu"),
            layers.MaxPooling2D(options.pool),
        ]
    if options.latent_features is not None:
        stack += [
            layers.Flatten(),
            layers.Dense(options.latent_features, activation=options.latent_activation),
        ]
    return chain(stack)


def keras_decoder(options):
    layers, inner = keras.layers, "relu" if options.architecture == "plain" else None
    stack = [keras.Input(options.latent_shape)]
    if options.latent_features is not None:
        size = int(np.prod(options.stage_shape))
        stack += [layers.Dense(size, activation=inner), layers.Reshape(options.stage_shape)]
        stack += [block(options.filters[-1], options.kernel)] if inner is None else []
    *hidden, last = (*options.filters[-2::-1], options.input_shape[2])
    for n, activation in [(n, inner) for n in hidden] + [(last, "sigmoid")]:
        stack += [
            layers.UpSampling2D(options.downsampling),
            layers.Conv2D(n, options.kernel, padding="same", activation=activation),
        ]
        stack += [block(n, options.kernel)] if activation is None else []
    return chain(stack)


def block(filters, kernel):
    """What the page on Keras calls ``residual``."""
    layers = keras.layers

    def apply(x):
        branch = layers.Activation("silu")(layers.GroupNormalization(groups=1)(x))
        branch = layers.Conv2D((filters + 1) // 2, kernel, padding="same", activation="silu")(branch)
        branch = layers.Conv2D(filters, kernel, padding="same")(branch)
        return layers.Activation("silu")(layers.GroupNormalization(groups=1)(layers.Add()([x, branch])))

    return apply


def chain(stack):
    first, *rest = stack
    x = first
    for layer in rest:
        x = layer(x)
    return keras.Model(first, x)


def run_keras(model, x):
    with torch.no_grad():
        return np.asarray(keras.ops.convert_to_numpy(model(x)))


def randomise(model, seed):
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, SPREAD, weight.shape).astype(np.float32) for weight in model.get_weights()]
    )


def data_for(options, rng):
    images = rng.random((4, *options.input_shape), dtype=np.float32)
    latents = rng.normal(size=(4, *options.latent_shape)).astype(np.float32)
    return images, latents


def new(name, path=None, seed=0):
    cae = CAE(**OPTIONS[name], path=path, seed=seed)
    rng = np.random.default_rng(seed)
    for network in (cae.encoder, cae.decoder):
        network.set_weights([rng.normal(0, SPREAD, weight.shape) for weight in network.get_weights()])
    return cae


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("sequential", [True, False])
def test_keras_loads_what_we_write(name, sequential, tmp_path, rng):
    cae = new(name, tmp_path / "model")
    cae.save()
    images, latents = data_for(cae.options, rng)
    for part, build, network, x in (
        ("encoder", keras_encoder, cae.encoder, images),
        ("decoder", keras_decoder, cae.decoder, latents),
    ):
        model = build(cae.options)
        if sequential and cae.options.architecture == "plain":
            model = keras.Sequential([keras.Input(network.input_shape), *model.layers[1:]])
        model.load_weights(tmp_path / "model" / f"{part}.h5")
        np.testing.assert_allclose(network.predict(x), run_keras(model, x), atol=1e-5)


def save_legacy_weights(model, path):
    """What Keras 2's save_weights wrote: Keras 3 still holds the function."""
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)


def save_whole_model(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)


def save_keras3_weights(model, path):
    whole = path.with_suffix(".weights.h5")
    model.save_weights(whole)
    whole.rename(path)


LAYOUTS = {
    "Keras 2 weights": save_legacy_weights,
    "whole model": save_whole_model,
    "Keras 3 weights": save_keras3_weights,
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_we_load_what_keras_writes(name, layout, tmp_path, rng):
    cae = new(name, tmp_path / "model", seed=1)
    cae.save()
    encoder, decoder = keras_encoder(cae.options), keras_decoder(cae.options)
    for seed, (part, model) in enumerate((("encoder", encoder), ("decoder", decoder))):
        randomise(model, seed)
        LAYOUTS[layout](model, tmp_path / "model" / f"{part}.h5")
    loaded = CAE(path=tmp_path / "model", load=True)
    images, latents = data_for(cae.options, rng)
    np.testing.assert_allclose(loaded.encoder.predict(images), run_keras(encoder, images), atol=1e-5)
    np.testing.assert_allclose(loaded.decoder.predict(latents), run_keras(decoder, latents), atol=1e-5)


def wrap(stack, n):
    """A model in a model, as some people build them: convolutions inside, the dense layer outside."""
    first, *rest = stack
    return keras.Sequential([first, keras.Sequential([first, *rest[:n]]), *rest[n:]])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("outer", [0, 3])
def test_a_model_in_a_model_is_read_in_its_order(layout, outer, tmp_path):
    options = CAE(**OPTIONS["colour"]).options
    for _ in range(outer):  # Keras's own counters of names go on
        keras_encoder(options)
    plain = keras_encoder(options)
    nested = wrap([keras.Input(options.input_shape), *plain.layers[1:]], -2)
    randomise(nested, 0)
    path = tmp_path / "encoder.h5"
    LAYOUTS[layout](nested, path)
    found = read_weights(path, [weight.shape for weight in plain.get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(found, nested.get_weights(), strict=True))


def test_weights_whose_order_is_not_in_the_file_are_refused(tmp_path):
    options = CAE(**OPTIONS["grey"]).options
    plain = keras_encoder(options)
    nested = wrap([keras.Input(options.input_shape), *plain.layers[1:]], 2)
    save_keras3_weights(nested, tmp_path / "encoder.h5")
    with pytest.raises(InputError, match="whose order the file does not keep"):
        read_weights(tmp_path / "encoder.h5", [weight.shape for weight in plain.get_weights()])


def test_a_file_as_keras_2_wrote_it_is_read(tmp_path, rng):
    """Built by hand: names as bytes, and layers without weights among the others."""
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 3, 1, 2), (2,), (8, 3), (3,))]
    weights = {"block1_conv": arrays[:2], "pool": [], "flatten_4": [], "dense_11": arrays[2:]}
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in ["input_1", *weights]])
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        file.create_group("input_1").attrs["weight_names"] = np.array([], dtype="S1")
        for name, pair in weights.items():
            group = file.create_group(name)
            names = [f"{name}/{kind}:0" for kind in ("kernel", "bias")][: len(pair)]
            group.attrs["weight_names"] = np.array([n.encode() for n in names], dtype="S32")
            for key, array in zip(names, pair, strict=True):
                group[key] = array
    found = read_weights(tmp_path / "w.h5", [array.shape for array in arrays])
    assert all(np.array_equal(a, b) for a, b in zip(found, arrays, strict=True))


def test_an_older_folder_with_tuples_and_no_latent_activation_means_relu(tmp_path, rng):
    options = {"input_shape": (12, 12, 1), "latent_features": 8, "filters": [3, 4]}
    cae = CAE(**options, latent_activation="relu", path=tmp_path / "old", seed=0)
    cae.save()
    encoder, decoder = keras_encoder(cae.options), keras_decoder(cae.options)
    for part, model in (("encoder", encoder), ("decoder", decoder)):
        save_legacy_weights(model, tmp_path / "old" / f"{part}.h5")
    (tmp_path / "old" / "params.yaml").write_text(
        "filters: [3, 4]\ninput_shape: !!python/tuple [12, 12, 1]\nkernel: !!python/tuple\n- 3\n- 3\n"
        "latent_features: 8\nlossfn: mse\noptimizer: adamax\npool: !!python/tuple [2, 2]\nstride: 1\n"
    )
    loaded = CAE(path=tmp_path / "old", load=True)
    assert loaded.options == cae.options
    assert loaded.options.latent_activation == "relu"
    images = rng.random((9, 12, 12, 1), dtype=np.float32)
    latents = loaded.encoder.predict(images)
    assert latents.min() == 0 < latents.max()
    np.testing.assert_allclose(latents, run_keras(encoder, images), atol=1e-5)


def test_params_yaml_is_plain_yaml(tmp_path):
    new("colour", tmp_path / "model").save()
    params = yaml.safe_load((tmp_path / "model" / "params.yaml").read_text())
    eight = ["filters", "input_shape", "kernel", "latent_features", "lossfn", "optimizer", "pool", "stride"]
    assert list(params)[:8] == eight
    assert list(params)[-3:] == ["format_version", "caescope_version", "weights_sha256"]
    assert {"latent_activation", "architecture"} < set(params)
    assert params["input_shape"] == [16, 24, 3]
