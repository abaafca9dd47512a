import inspect

import numpy as np
import pytest

from caescope import CAE
from caescope.errors import ModelError, OptionError


def test_the_first_ten_arguments_keep_their_names_order_and_defaults():
    parameters = list(inspect.signature(CAE).parameters.values())
    assert [(p.name, p.default) for p in parameters[:10]] == [
        ("input_shape", (128, 128, 3)),
        ("latent_features", 512),
        ("filters", (8, 16, 32)),
        ("kernel", (3, 3)),
        ("stride", 1),
        ("pool", (2, 2)),
        ("optimizer", "adamax"),
        ("lossfn", "mse"),
        ("path", None),
        ("load", False),
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[10:])


def test_saving_and_loading_gives_the_same_outputs(tmp_path, rng):
    images = rng.random((5, 30, 30, 3), dtype=np.float32)
    cae = CAE((30, 30, 3), 6, [4, 8], kernel=(3, 5), pool=(2, 3), path=tmp_path / "model", seed=0)
    assert cae.save() == tmp_path / "model"
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "decoder.h5",
        "encoder.h5",
        "params.yaml",
    ]
    loaded = CAE(path=tmp_path / "model", load=True)
    assert loaded.options == cae.options
    assert np.array_equal(loaded.encoder.predict(images), cae.encoder.predict(images))
    assert np.array_equal(loaded.model.predict(images), cae.model.predict(images))


def test_loading_ignores_the_other_arguments(tmp_path):
    CAE((8, 8, 1), 2, [3], path=tmp_path / "model", latent_activation="relu").save()
    loaded = CAE((64, 64, 3), 99, [1, 1], lossfn="mae", path=tmp_path / "model", load=True)
    assert (loaded.options.input_shape, loaded.options.latent_features) == ((8, 8, 1), 2)
    assert (loaded.options.lossfn, loaded.options.latent_activation) == ("mse", "relu")


def test_a_loaded_model_trains_on(tmp_path, rng):
    images = rng.random((32, 8, 8, 1), dtype=np.float32)
    cae = CAE((8, 8, 1), 4, [4], path=tmp_path / "model", seed=0)
    cae.model.fit(images, epochs=3, verbose=0)
    cae.save()
    loaded = CAE(path=tmp_path / "model", load=True, seed=0)
    before = loaded.model.evaluate(images)
    assert before == pytest.approx(cae.model.evaluate(images))
    loaded.model.fit(images, epochs=5, batch_size=8, verbose=0)
    assert loaded.model.evaluate(images) < before


def test_encoder_and_decoder_share_the_weights_of_the_model(rng):
    images = rng.random((32, 8, 8, 1), dtype=np.float32)
    cae = CAE((8, 8, 1), 4, [4], seed=0)
    before = cae.encoder.predict(images)
    cae.model.fit(images, epochs=1, verbose=0)
    assert not np.array_equal(cae.encoder.predict(images), before)
    np.testing.assert_allclose(
        cae.decoder.predict(cae.encoder.predict(images)), cae.model.predict(images), atol=1e-6
    )


def test_the_repr_is_short():
    assert repr(CAE((28, 28, 1), 20, [8, 16])) == (
        "CAE(input_shape=(28, 28, 1), latent_features=20, filters=(8, 16), 34,645 weights)"
    )


@pytest.mark.parametrize(
    ("options", "error", "piece"),
    [
        ({"load": True}, OptionError, "Saving and loading need a path"),
        ({"load": True, "path": "no-such-folder"}, ModelError, "no-such-folder"),
        ({"seed": -1}, OptionError, "seed must be an integer"),
        ({"seed": "0"}, OptionError, "seed must be an integer"),
        ({"learning_rate": 0}, OptionError, "learning_rate must be a number above 0"),
        ({"learning_rate": "fast"}, OptionError, "learning_rate must be a number above 0"),
        ({"learning_rate": 10**400}, OptionError, "learning_rate must be a number above 0"),
        ({"device": "abacus"}, OptionError, "device must be one that PyTorch can use here"),
    ],
)
def test_bad_options_get_a_sentence(options, error, piece):
    with pytest.raises(error, match=piece):
        CAE((8, 8, 1), 2, [2], **options)


def test_saving_without_a_path_gets_a_sentence():
    with pytest.raises(OptionError, match="Saving and loading need a path"):
        CAE((8, 8, 1), 2, [2]).save()
