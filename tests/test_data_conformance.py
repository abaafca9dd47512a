"""What every source keeps to, whatever it reads from."""

import gzip
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from caescope.data import ArraySource, find_source, load_digits, load_tissue, open_source
from caescope.data.fitting import Fit
from caescope.slides import find_slides

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), dtype=np.uint8)
GREY = IMAGES[..., :1]
UNIT = (IMAGES / 255).astype(np.float64)


def check_source(source: Any) -> None:
    """Demand of any source what the rest of the program relies on."""
    loaded = source if isinstance(source, ArraySource) else source.load()
    images, n = loaded.images, len(source)
    assert images.shape == (n, *source.shape)
    assert images.dtype in (np.uint8, np.float32)
    assert isinstance(source.name, str)
    assert source.name
    _check_facts(source, loaded)
    _check_reads(source, images)
    again = pickle.loads(pickle.dumps(source))  # for other processes
    np.testing.assert_array_equal(again.read([0, n - 1]), images[[0, n - 1]])
    if not isinstance(source, ArraySource):
        assert source.stamp() == again.stamp()
        assert not hasattr(source, "fit") or source.stamp() != replace(source, fit=Fit(resize=3)).stamp()


def _check_facts(source, loaded: ArraySource) -> None:
    n = len(source)
    assert source.ids.shape == (n,)
    assert source.ids.dtype.kind == "U"
    assert len(set(source.ids.tolist())) == n
    facts = {**source.columns, "labels": source.labels, "split": source.split, "ids": source.ids}
    kept = {**loaded.columns, "labels": loaded.labels, "split": loaded.split, "ids": loaded.ids}
    assert facts.keys() == kept.keys()
    for name, values in facts.items():
        assert (values is None) == (kept[name] is None)
        assert values is None or (values.shape == (n,) and values.tolist() == kept[name].tolist())


def _check_reads(source, images: np.ndarray) -> None:
    n = len(source)
    shuffled = np.random.default_rng(1).permutation(n)
    selections = [
        slice(None),
        slice(n // 4, n // 2),
        slice(None, None, -2),
        [n - 1, 0, n - 1, n // 2],
        [-1, 0],
        shuffled,
        np.sort(shuffled[: n // 2]),
        np.arange(n) % 3 == 0,
        [],
        slice(0, 0),
        np.zeros(n, bool),
    ]
    for selection in selections:
        found = source.read(selection)
        assert found.dtype == images.dtype
        np.testing.assert_array_equal(found, images[selection], strict=True)
    with pytest.raises(IndexError, match="out of bounds"):
        source.read([n])
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(source.read, [shuffled[: n // 2], shuffled[n // 2 :]] * 4))
    np.testing.assert_array_equal(np.concatenate(halves[:2]), images[shuffled])
    np.testing.assert_array_equal(np.concatenate(halves[6:]), images[shuffled])


def idx(folder):
    path = folder / "images.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 5, 0, 0, 0, 6]) + GREY.tobytes()))
    return path


def npy(images):
    def write(folder):
        np.save(folder / "a.npy", images)
        return folder / "a.npy"

    return write


def npz(folder):
    halves = {"x_train": IMAGES[:12], "x_test": IMAGES[12:], "y_train": range(12), "y_test": range(8)}
    np.savez_compressed(folder / "a.npz", **halves)
    return folder / "a.npz"


def hdf5(images: Any = IMAGES, **options):
    def write(folder):
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("images", data=images, **options)
            file["labels"] = [f"é{i % 3}" for i in range(20)]
        return folder / "a.h5"

    return write


def folder_of(suffix, images=IMAGES):
    def write(folder):
        for i, image in enumerate(images.squeeze()):
            path = folder / "tiles" / f"class {i % 3}" / f"{i}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        return folder / "tiles"

    return write


def listing(folder):
    tiles = folder_of("png")(folder)
    rows = [f"class {i % 3}/{i}.png,{'' if i == 4 else i},s{i // 5},train" for i in range(19, -1, -1)]
    (tiles / "tiles.csv").write_text("\n".join(["path,label,slide,split", *rows]))
    return tiles / "tiles.csv"


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda _: IMAGES, id="array"),
        pytest.param(lambda _: ArraySource(UNIT, range(20), columns={"a": range(20)}), id="floats"),
        pytest.param(lambda _: load_digits(), id="digits"),
        pytest.param(idx, id="idx"),
        pytest.param(npy(IMAGES), id="npy"),
        pytest.param(npy(GREY[..., 0]), id="npy-grey"),
        pytest.param(npy(UNIT), id="npy-f8"),
        pytest.param(npy(UNIT.astype(">f4")), id="npy-big-endian"),
        pytest.param(npy(UNIT.astype(np.float16)), id="npy-f2"),
        pytest.param(npy(np.asfortranarray(IMAGES)), id="npy-fortran"),
        pytest.param(npy(IMAGES.astype(np.int64)), id="npy-integers"),
        pytest.param(npz, id="npz"),
        pytest.param(hdf5(), id="hdf5"),
        pytest.param(hdf5(UNIT[..., 0]), id="hdf5-floats"),
        pytest.param(hdf5(chunks=(3, 2, 6, 1), compression="gzip"), id="hdf5-chunks"),
        pytest.param(hdf5(chunks=(1, 5, 6, 3), shuffle=True, compression="lzf"), id="hdf5-single"),
        pytest.param(hdf5(chunks=(20, 5, 6, 3), maxshape=(None, 5, 6, 3)), id="hdf5-one-chunk"),
        pytest.param(folder_of("png"), id="folder"),
        pytest.param(folder_of("jpg", GREY), id="folder-grey-jpeg"),
        pytest.param(listing, id="listing"),
    ],
)
@pytest.mark.parametrize("fit", [None, Fit(crop=4, resize=(2, 3), grey=True)], ids=["as-is", "fitted"])
def test_every_source_keeps_to_the_protocol(tmp_path, write, fit, monkeypatch):
    monkeypatch.setattr("caescope.data.mapped.BLOCK_BYTES", 200)  # several blocks even of these few
    source = find_source(write(tmp_path), fit=fit)
    check_source(source)
    assert find_source(source) is source
    if fit:
        assert source.shape == (2, 3, 1)


def test_slides_and_sections_keep_to_it(tmp_path):
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (70, 100, 3), dtype=np.uint8)
        options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
        tifffile.imwrite(tmp_path / f"s{i}.tif", pixels, **options)
    slides = find_slides(tmp_path, size=16, rule="none")
    check_source(replace(slides, labels=["a", None] * 24))
    assert len(slides) == 2 * 4 * 6
    check_source(load_tissue())


def test_a_loaded_source_is_what_open_source_gives(tmp_path):
    for write in (npy(UNIT), hdf5(), folder_of("png"), listing):
        path = write(tmp_path)
        stored: Any = find_source(path)
        np.testing.assert_array_equal(open_source(path).images, stored.load().images, strict=True)
    np.testing.assert_array_equal(open_source(listing(tmp_path)).images, IMAGES[::-1])
