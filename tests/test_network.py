import threading

import numpy as np
import pytest
import torch

from caescope import CAE
from caescope.callbacks import Callback, History
from caescope.errors import DataError, ModelError, OptionError, TrainingError
from caescope.model.memory import batches_of
from caescope.model.summary import _rows
from caescope.model.weights import layers_of

SHAPE = (12, 12, 1)


@pytest.fixture
def images(rng) -> np.ndarray:
    """Blurred dots, which a few latents can describe."""
    y, x = np.mgrid[:12, :12]
    centers = rng.uniform(3, 9, (96, 2, 1, 1))
    distances = (y - centers[:, 0]) ** 2 + (x - centers[:, 1]) ** 2
    return np.exp(-distances / 6).astype(np.float32)[..., None]


def new(**options) -> CAE:
    return CAE(SHAPE, **{"latent_features": 4, "filters": [4], "seed": 0} | options)


def test_predict_is_channels_last_float32(images):
    cae = new()
    latents = cae.encoder.predict(images)
    assert (latents.shape, latents.dtype) == ((96, 4), np.float32)
    reconstructions = cae.decoder.predict(latents)
    assert (reconstructions.shape, reconstructions.dtype) == ((96, *SHAPE), np.float32)
    np.testing.assert_allclose(cae.model.predict(images), reconstructions, atol=1e-6)
    assert 0 <= reconstructions.min() <= reconstructions.max() <= 1


def test_predict_does_not_depend_on_the_batch_size(images):
    cae = new()
    np.testing.assert_allclose(
        cae.encoder.predict(images, batch_size=7), cae.encoder.predict(images), atol=1e-6
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[..., 0],
        lambda x: np.round(x * 255).astype(np.uint8),
        lambda x: x[::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(np.float64).tolist(),
    ],
)
def test_images_of_any_kind_are_taken(images, change):
    cae = new()
    changed = change(images)
    order = (
        slice(None, None, -1) if np.shares_memory(images, changed) and not isinstance(changed, list) else None
    )
    expected = images[::-1] if order and np.array_equal(changed, images[::-1]) else images
    np.testing.assert_allclose(cae.encoder.predict(changed), cae.encoder.predict(expected), atol=0.01)


def test_fit_learns_and_tells_history(images):
    cae = new()
    before = cae.model.evaluate(images)
    history = cae.model.fit(images, images, epochs=30, batch_size=8, verbose=0, validation_split=0.25)
    assert isinstance(history, History)
    assert set(history.history) == {"loss", "val_loss", "learning_rate", "images_per_second"}
    assert history.epoch == list(range(30))
    assert all(len(values) == 30 for values in history.history.values())
    assert cae.model.evaluate(images) < before / 4
    assert history.history["val_loss"][-1] == pytest.approx(cae.model.evaluate(images[72:]), rel=1e-5)


def test_evaluate_is_the_mean_squared_error(images):
    cae = new()
    value = cae.model.evaluate(images, images)
    assert type(value) is float
    assert value == pytest.approx(np.mean((cae.model.predict(images) - images) ** 2), rel=1e-5)
    target = 1 - images
    expected = np.mean((cae.model.predict(images) - target) ** 2)
    assert cae.model.evaluate(images, target, batch_size=7) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("lossfn", ["mae", "binary_crossentropy", "huber"])
def test_other_losses_fall_too(images, lossfn):
    cae = new(lossfn=lossfn)
    before = cae.model.evaluate(images)
    cae.model.fit(images, epochs=10, batch_size=8, verbose=0)
    assert cae.model.evaluate(images) < before


@pytest.mark.parametrize("optimizer", ["adam", "adamax", "adamw", "nadam", "rmsprop", "adagrad", "sgd"])
def test_every_optimizer_learns(images, optimizer):
    cae = new(optimizer=optimizer)
    before = cae.model.evaluate(images)
    cae.model.fit(images, epochs=20, batch_size=8, verbose=0)
    assert cae.model.evaluate(images) < 0.6 * before


def test_fit_learns_another_target(images):
    cae = new()
    cae.model.fit(images, 1 - images, epochs=30, batch_size=8, verbose=0)
    assert cae.model.evaluate(images, 1 - images) < 0.02 < cae.model.evaluate(images, images)


def test_the_same_seed_gives_the_same_weights(images):
    def weights(seed):
        cae = new(seed=seed)
        cae.model.fit(images, epochs=2, batch_size=16, verbose=0)
        return cae.model.get_weights()

    before = torch.random.get_rng_state()
    first, again, other = weights(0), weights(0), weights(1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert torch.equal(before, torch.random.get_rng_state())


class Spy(Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def test_shuffle_changes_the_order_and_nothing_else(images):
    firsts = []
    for shuffle in (True, False):
        spy = Spy()
        new().model.fit(images, epochs=1, batch_size=8, verbose=0, shuffle=shuffle, callbacks=[spy])
        firsts.append(spy.losses[0])
    assert firsts[0] != firsts[1]
    assert firsts[1] == pytest.approx(new().model.evaluate(images[:8]), rel=1e-5)


def test_validation_images_are_the_last_and_are_not_trained_on(images):
    dark = images.copy()
    dark[-24:] = 1.0
    cae = new()
    history = cae.model.fit(dark, epochs=20, batch_size=8, verbose=0, validation_split=0.25).history
    assert history["val_loss"][-1] > 10 * history["loss"][-1]


@pytest.mark.parametrize("as_pair", [True, False])
def test_validation_data_come_before_the_split(images, as_pair):
    data = (images[:5], images[:5]) if as_pair else images[:5]
    cae = new()
    history = cae.model.fit(images, epochs=1, verbose=0, validation_split=0.5, validation_data=data).history
    assert history["val_loss"][0] == pytest.approx(cae.model.evaluate(images[:5]), rel=1e-5)


def test_initial_epoch_counts_on(images):
    history = new().model.fit(images, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]


def test_the_learning_rate_goes_up_and_down(images):
    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(logs["learning_rate"])

    new(learning_rate=0.01).model.fit(images, epochs=10, batch_size=8, verbose=0, callbacks=[Rates()])
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates.index(max(rates)) == pytest.approx(0.3 * len(rates), abs=2)
    assert rates[-1] < 1e-5


def test_a_loss_that_is_no_number_ends_training_with_a_sentence(images):
    cae = new(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"The loss must stay finite\. Received loss=.* in epoch 1"):
        cae.model.fit(images, epochs=3, batch_size=8, verbose=0)


def test_a_loss_that_is_no_number_leaves_the_last_good_weights(images):
    class Spoil(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            if epoch == 2:
                self.good = self.model.get_weights()

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 2:
                next(self.model.module.parameters()).data.fill_(float("nan"))

    cae, spoil = new(), Spoil()
    with pytest.raises(TrainingError, match=r"in epoch 3 at learning rate .* holds the weights with which"):
        cae.model.fit(images, epochs=5, batch_size=8, verbose=0, callbacks=[spoil])
    for weight, good in zip(cae.model.get_weights(), spoil.good, strict=True):
        np.testing.assert_array_equal(weight, good)


@pytest.mark.parametrize("error", [MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory.")])
@pytest.mark.parametrize("job", ["fit", "evaluate", "predict"])
def test_running_out_of_memory_names_the_batch_size_and_suggests_half(images, error, job, monkeypatch):
    cae = new()

    def fail(*_):
        raise error

    monkeypatch.setattr(cae.model.module.encoder, "forward", fail)
    with pytest.raises(TrainingError, match=r"out of memory with batch_size=48\. Use batch_size=24\."):
        getattr(cae.model, job)(images, batch_size=48)


def test_memory_that_the_processor_has_not_is_named_too():
    with (
        pytest.raises(TrainingError, match=r"out of memory with batch_size=1\. Use smaller images"),
        batches_of(1),
    ):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="anything else"), batches_of(1):
        raise RuntimeError("anything else")


def test_weights_come_back_as_they_were_set():
    first, second = new(seed=0), new(seed=1)
    second.model.set_weights(first.model.get_weights())
    assert all(
        np.array_equal(a, b)
        for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True)
    )
    with pytest.raises(ModelError):
        second.model.set_weights(first.model.get_weights()[:-1])


def test_summary_lists_layers_and_counts_weights(capsys):
    cae = CAE((28, 28, 1), 20, [8, 16], seed=0)
    cae.encoder.summary()
    printed = capsys.readouterr().out
    for piece in ("encoder: 28 × 28 × 1 → 20", "14 × 14 × 16", "80", "1,168", "15,700"):
        assert piece in printed
    assert repr(cae.decoder) == "<decoder: 20 → 28 × 28 × 1, 17,697 weights>"
    assert cae.model.count_params() == cae.encoder.count_params() + cae.decoder.count_params()


@pytest.mark.parametrize("options", [{}, {"latent_features": None}, {"stride": (1, 2), "pool": (3, 1)}])
def test_summary_tells_the_shapes_that_layers_really_put_out(options):
    cae = CAE(**({"input_shape": (10, 14, 3), "latent_features": 5, "filters": [4, 6]} | options), seed=0)
    for network in (cae.encoder, cae.decoder):
        shapes = []
        for _, layer in layers_of(network.module):
            layer.register_forward_hook(lambda _, __, output, shapes=shapes: shapes.append(output.shape[1:]))
        network.module(torch.zeros((1, *network.input_shape)))
        last = [shape if len(shape) == 1 else (*shape[1:], shape[0]) for shape in shapes]
        assert [row[2] for row in _rows(network)] == [tuple(shape) for shape in last]


@pytest.mark.parametrize(
    ("arguments", "error", "piece"),
    [
        ({"x": np.zeros((3, 11, 12, 1))}, DataError, "x must have shape (n_images, 12, 12, 1)"),
        ({"x": np.zeros((3, 12, 12, 2))}, DataError, "x must have 1 channel"),
        ({"x": np.full((3, 12, 12, 1), np.nan)}, DataError, "Pixels of x must be finite"),
        ({"x": np.full((3, 12, 12, 1), 7.0)}, DataError, "Pixels of x must lie in [0, 1]"),
        ({"x": np.zeros((0, 12, 12, 1))}, DataError, "x must hold at least one image"),
        ({"y": np.zeros((3, 12, 12, 1))}, DataError, "x and y must hold as many images"),
        ({"epochs": 0}, OptionError, "epochs must be an integer of at least 1"),
        ({"batch_size": 0}, OptionError, "batch_size must be an integer of at least 1"),
        ({"initial_epoch": 1}, OptionError, "initial_epoch must be an integer from 0 to 0"),
        ({"validation_split": 1.0}, OptionError, "validation_split must lie in [0, 1)"),
        ({"validation_split": 0.999}, DataError, "validation_split must leave at least one image"),
        ({"validation_data": np.zeros((3, 4, 4, 1))}, DataError, "validation_data must have shape"),
        ({"verbose": 5}, OptionError, 'verbose must be "auto", 0, 1 or 2'),
        ({"callbacks": [object()]}, OptionError, "A callback must be an object with"),
        ({"callbacks": [Spy]}, OptionError, "A callback must be an object with"),
    ],
)
def test_bad_input_gets_a_sentence_and_changes_no_weight(images, arguments, error, piece):
    cae = new()
    before = cae.model.get_weights()
    with pytest.raises(error) as caught:
        cae.model.fit(**{"x": images, "verbose": 0} | arguments)
    assert piece in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, cae.model.get_weights(), strict=True))


@pytest.mark.parametrize("latents", [np.zeros((3, 5)), np.full((2, 4), np.inf), "latents", np.zeros(4)])
def test_the_decoder_refuses_what_are_no_latents(latents):
    with pytest.raises(DataError, match="x must be finite numbers of shape"):
        new().decoder.predict(latents)


def test_the_decoder_takes_flattened_convolutional_latents(images):
    cae = new(latent_features=None)
    latents = cae.encoder.predict(images)
    assert latents.shape == (96, 6, 6, 4)
    flat = cae.decoder.predict(latents.reshape(96, -1))
    assert np.array_equal(flat, cae.decoder.predict(latents))


def test_predicting_on_several_threads_is_predicting_on_one(images):
    cae, before = new(device="cpu"), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = cae.encoder.predict(images)
        torch.set_num_threads(3)
        names = set()
        cae.encoder.module.register_forward_pre_hook(lambda *_: names.add(threading.current_thread().name))
        together = cae.encoder.predict(images, batch_size=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert threading.main_thread().name not in names
    np.testing.assert_allclose(together, alone, atol=1e-6)
