"""Training from a source is training from memory, and holds a few batches at a time."""

import threading
import weakref

import numpy as np
import pytest
import torch

from caescope import CAE
from caescope.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)


class Watched:
    """A source that remembers what was asked of it, and how much of it was held at once."""

    def __init__(self, images=IMAGES, shape=None):
        self.images, self.shape = images, shape or images.shape[1:]
        self.asked, self.held, self.most, self.lock = [], weakref.WeakSet(), 0, threading.Lock()

    def __len__(self):
        return len(self.images)

    def read(self, indices):
        block = self.images[indices].view(Block)
        with self.lock:
            self.asked.append(np.asarray(indices))
            self.held.add(block)
            self.most = max(self.most, sum(map(len, self.held)))
        return block


class Block(np.ndarray):
    __hash__ = object.__hash__


def trained(x, **options):
    cae = CAE((8, 8, 1), 3, [4], seed=0, device="cpu", precision="float32")
    history = cae.model.fit(x, epochs=3, batch_size=8, verbose=0, **options).history
    return history, cae.model.get_weights()


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype(np.float32) / 255], ids=["uint8", "float32"])
@pytest.mark.parametrize("options", [{}, {"validation_split": 0.2}, {"shuffle": False}])
def test_a_source_trains_as_its_images_in_memory_do(images, options):
    streamed, in_memory = trained(Watched(images), **options), trained(images, **options)
    for name in set(streamed[0]) - {"images_per_second"}:
        assert streamed[0][name] == in_memory[0][name]
    for ours, theirs in zip(streamed[1], in_memory[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_each_image_is_read_once_in_an_epoch():
    source = Watched()
    trained(source)
    preview, *batches = source.asked
    assert preview.tolist() == list(range(6))
    rows = np.concatenate(batches).reshape(3, 50)
    assert (np.sort(rows, axis=1) == np.arange(50)).all()
    assert not np.array_equal(rows[0], rows[1])


def test_few_batches_are_in_memory(monkeypatch):
    monkeypatch.setattr("caescope.parallel.count_cores", lambda: 2)
    source = Watched(np.tile(IMAGES, (8, 1, 1, 1)))
    trained(source)
    assert source.most <= (2 * 2 + 2) * 8  # two batches for each of two threads, and those in use


def test_a_source_can_be_evaluated_and_validate():
    cae = CAE((8, 8, 1), 3, [4], seed=0, device="cpu")
    assert cae.model.evaluate(Watched()) == pytest.approx(cae.model.evaluate(IMAGES), rel=1e-6)
    history = cae.model.fit(IMAGES, epochs=1, verbose=0, validation_data=Watched()).history
    assert history["val_loss"][0] == pytest.approx(cae.model.evaluate(IMAGES), rel=1e-5)


@pytest.mark.parametrize(
    ("source", "y", "message"),
    [
        (
            Watched(shape=(9, 8, 1)),
            None,
            r"shape \(8, 8, 1\) for this model. Received 50 of shape \(9, 8, 1\)",
        ),
        (Watched(IMAGES[:0]), None, "Received 0 of shape"),
        (Watched(), IMAGES, "must be its own target"),
        (Watched(np.full((50, 8, 8, 1), np.nan), None), None, "must be finite"),
        (Watched(IMAGES[:, :7], (8, 8, 1)), None, r"shape that it announces. Received \(7, 8, 1\)"),
    ],
)
def test_sources_that_do_not_fit_get_a_sentence(source, y, message):
    cae = CAE((8, 8, 1), 3, [4], seed=0, device="cpu")
    before = cae.model.get_weights()
    with pytest.raises(DataError, match=message):
        cae.model.fit(source, y, epochs=1, verbose=0)
    for ours, theirs in zip(before, cae.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_read_that_fails_ends_the_training_with_its_sentence():
    class Failing(Watched):
        def read(self, indices):
            if 40 in indices:
                raise DataError("Image 40 must be readable", "damage", "Write it again.")
            return super().read(indices)

    cae = CAE((8, 8, 1), 3, [4], seed=0, device="cpu")
    with pytest.raises(DataError, match="Image 40 must be readable"):
        cae.model.fit(Failing(), epochs=1, batch_size=8, verbose=0)
    assert torch.get_num_threads() >= 1
