import pickle

import numpy as np
import pytest
import tifffile
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caescope.cli import main
from caescope.errors import DataError, OptionError
from caescope.pipeline import encode, run
from caescope.slides import Macenko, Reinhard, find_slides
from caescope.slides.reading import read_sample
from caescope.slides.stain import BETA, LAB, LMS, REFERENCE_COLOURS, REFERENCE_STAINS
from caescope.source_options import SourceOptions

ONE_LAB = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
OTHER_LAB = np.array([[0.75, 0.56, 0.35], [0.17, 0.85, 0.50]])
SIDE = 192
TILES = {"tile_size": 64, "tissue_rule": "none"}


def amounts(side=SIDE, seed=0):
    """How much hematoxylin and eosin there is: a fifth glass, a fifth nuclei, stroma, and mixtures."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(4, (side, side), p=[0.2, 0.2, 0.4, 0.2])
    factors = np.array([[0, 0], [1, 0.02], [0.02, 1], [0.5, 0.5]])[kind]
    return factors * rng.gamma(8, 0.12, (side, side, 1))


def stained(vectors, amounts, strengths=(1, 1), light=255):
    """Beer and Lambert's law, rounded to bytes."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.rint(light * np.exp(-(amounts * strengths) @ unit)).astype(np.uint8)


def degrees_between(a, b):
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def lab_of(pixels):
    return np.log(pixels.reshape(-1, 3) / 255 @ LMS.astype(float).T) @ LAB.astype(float).T


@pytest.fixture
def slides(tmp_path):
    """The same tissue, stained in two laboratories and scanned with two lamps."""
    folder = tmp_path / "slides"
    folder.mkdir()
    pictures = {
        "a.tif": stained(ONE_LAB, amounts(), (0.7, 1.3), 250),
        "b.tif": stained(OTHER_LAB, amounts(), (1.2, 0.8), (240, 236, 238)),
    }
    for name, pixels in pictures.items():
        options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
        tifffile.imwrite(folder / name, pixels, **options)
    return folder


def difference(a, b):
    return np.abs(a.astype(int) - b).mean()


@pytest.mark.parametrize("vectors", [ONE_LAB, OTHER_LAB, REFERENCE_STAINS.vectors])
def test_stains_and_their_strengths_are_recovered(vectors):
    truth = amounts()
    macenko = Macenko.estimate(stained(vectors, truth, (1.2, 0.9), light=245))
    assert macenko.source is not None
    assert degrees_between(macenko.source.vectors, vectors).max() < 2.5
    tissue = truth.reshape(-1, 2)[truth.sum(axis=-1).ravel() > 0]
    strongest = np.percentile(tissue, 99, axis=0) * (1.2, 0.9)
    assert macenko.source.strongest == pytest.approx(strongest, rel=0.05)
    assert macenko.light.tolist() == [245, 245, 245]


def test_one_tissue_stained_in_two_ways_becomes_one_picture():
    truth = amounts()
    one, other = stained(ONE_LAB, truth, (0.7, 1.3)), stained(OTHER_LAB, truth, (1.2, 0.8))
    assert difference(one, other) > 20
    normalised = [Macenko.estimate(pixels)(pixels) for pixels in (one, other)]
    assert difference(*normalised) < 1.5
    scale = REFERENCE_STAINS.strongest / np.percentile(truth[truth.sum(axis=-1) > 0], 99, axis=0)
    expected = stained(
        REFERENCE_STAINS.vectors, truth, scale
    )  # what the reference laboratory would have seen
    assert max(difference(pixels, expected) for pixels in normalised) < 3


def test_macenko_takes_the_stains_of_a_target():
    truth = amounts()
    source, target = stained(ONE_LAB, truth), stained(OTHER_LAB, amounts(seed=1), (1.2, 0.8))
    normalised = Macenko.estimate(source, target=target)(source)
    assert difference(normalised, stained(OTHER_LAB, truth, (1.2, 0.8))) < 2


def test_reinhard_reaches_the_mean_and_spread_of_its_target():
    pixels = stained(OTHER_LAB, amounts())
    tissue = np.log(255 / pixels.astype(float)).mean(axis=-1) >= BETA
    for target in (None, stained(ONE_LAB, amounts(seed=1), (0.9, 0.7))):
        reinhard = Reinhard.estimate(pixels, target)
        lab = lab_of(np.maximum(reinhard(pixels)[tissue], 1))
        assert lab.mean(axis=0) == pytest.approx(reinhard.target.mean, abs=0.03)
        assert lab.std(axis=0) == pytest.approx(reinhard.target.spread, rel=0.06)
    assert Reinhard.estimate(pixels).target is REFERENCE_COLOURS


def test_an_image_is_its_own_target():
    pixels = stained(OTHER_LAB, amounts())
    for method in (Macenko, Reinhard):
        assert difference(method.estimate(pixels, target=pixels)(pixels), pixels) < 0.5


@pytest.mark.parametrize("method", [Macenko, Reinhard])
@pytest.mark.parametrize("glass", [(255, 255, 255), (244, 244, 244), (240, 236, 238)])
def test_glass_stays_glass(method, glass):
    pixels = stained(ONE_LAB, amounts(), light=np.array(glass))
    normalise = method.estimate(pixels)
    expected = (255, 255, 255) if method is Macenko else glass
    assert (normalise(np.full((4, 4, 3), glass, np.uint8)) == expected).all()
    assert (normalise(np.full((4, 4, 3), 255, np.uint8)) == 255).all()


@pytest.mark.parametrize("method", [Macenko, Reinhard])
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 40, 3), 255, np.uint8),
        np.zeros((40, 40, 3), np.uint8),
        np.full((40, 40, 3), (200, 120, 180), np.uint8),
        np.repeat(np.arange(40 * 40, dtype=np.uint16).reshape(40, 40, 1) % 256, 3, axis=2).astype(np.uint8),
        np.zeros((0, 3), np.uint8),
        stained(ONE_LAB, amounts(9)),
    ],
    ids=["white", "black", "one colour", "grey", "nothing", "81 pixels"],
)
def test_what_has_no_stains_is_left_as_it_is(method, pixels):
    normalise = method.estimate(pixels)
    assert normalise.source is None
    other = stained(OTHER_LAB, amounts())
    np.testing.assert_array_equal(normalise(other), other)
    with pytest.raises(DataError, match=r"The target must show .*\. Received one where none can be told"):
        method.estimate(other, target=pixels)


@pytest.mark.parametrize("vector", ONE_LAB)
def test_one_stain_and_noise_are_not_two_stains(vector):
    rng = np.random.default_rng(0)
    clean = 245 * np.exp(-rng.gamma(6, 0.15, (20_000, 1)) * vector)
    pixels = np.rint(clean + rng.normal(0, 2, clean.shape)).clip(0, 255).astype(np.uint8)
    assert Macenko.estimate(pixels).source is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 256), st.integers(1, 30))
def test_any_pixels_give_bytes_of_the_same_shape(seed, colours, side):
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
    pixels = palette[rng.integers(0, colours, (side, side))]
    for method in (Macenko, Reinhard):
        normalised = method.estimate(pixels)(pixels)
        assert (normalised.shape, normalised.dtype) == (pixels.shape, np.uint8)


@pytest.mark.parametrize("pixels", [np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8), np.zeros(3, np.uint8)])
def test_only_rgb_in_bytes_is_taken(pixels):
    for method in (Macenko, Reinhard):
        with pytest.raises(DataError, match=r"must be uint8 RGB, shape \(\.\.\., 3\)\. Received"):
            method.estimate(pixels)
        with pytest.raises(DataError, match="must be uint8 RGB"):
            method.estimate(stained(ONE_LAB, amounts()))(pixels)


# --- tiles


def test_tiles_of_two_laboratories_become_comparable(slides):
    plain = find_slides(slides, size=64, rule="none").read(slice(None))
    assert difference(plain[:9], plain[9:]) > 20
    tiles = find_slides(slides, size=64, rule="none", stain="macenko").read(slice(None))
    assert difference(tiles[:9], tiles[9:]) < 2


def test_tiles_of_two_laboratories_get_one_mean_colour(slides):
    tissue = ~(find_slides(slides, size=64, rule="none").read(slice(None)).min(axis=-1) > 230)
    tiles = find_slides(slides, size=64, rule="none", stain="reinhard").read(slice(None))
    for part in (slice(9), slice(9, None)):
        lab = lab_of(tiles[part][tissue[part]])
        assert lab.mean(axis=0) == pytest.approx(REFERENCE_COLOURS.mean, abs=0.05)


@pytest.mark.parametrize("stain", ["macenko", "reinhard"])
def test_a_tile_is_the_same_alone_in_a_block_and_in_another_process(slides, stain):
    source = find_slides(slides, size=64, rule="none", stain=stain)
    tiles = source.read(slice(None))
    for i in (0, 8, 9, 17):
        np.testing.assert_array_equal(source.read([i])[0], tiles[i])
    np.testing.assert_array_equal(source.load().images, tiles)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(slice(None)), tiles)
    again = find_slides(slides, size=64, rule="none", stain=stain)
    np.testing.assert_array_equal(again.read(slice(None)), tiles)
    assert again.stamp() == source.stamp()


def test_the_stamp_tells_how_the_stain_is_normalised(slides):
    stamps = {
        find_slides(slides, size=64, rule="none", stain=name).stamp()
        for name in (None, "macenko", "reinhard")
    }
    assert len(stamps) == 3


def test_a_sample_is_of_tiles_all_over_the_slide(slides):
    (planned, _) = find_slides(slides, size=64, rule="none").slides
    every = np.concatenate(list(find_slides(slides / "a.tif", size=64, rule="none").read(slice(None))))
    np.testing.assert_array_equal(read_sample(planned.slide, planned.plan), every.reshape(-1, 3))
    fine = find_slides(slides / "a.tif", size=8, overlap=4, rule="none").slides[0]
    assert read_sample(fine.slide, fine.plan).shape == (128 * 8 * 8, 3)
    large = find_slides(slides / "a.tif", size=192, rule="none").slides[0]
    rows = tifffile.imread(slides / "a.tif")[1::2, 1::2]
    np.testing.assert_array_equal(read_sample(large.slide, large.plan), rows.reshape(-1, 3))


def test_unknown_names_and_other_sources_get_a_sentence(slides):
    for name in ("vahadane", ["macenko"]):
        with pytest.raises(OptionError, match=r"stain must be one of macenko, reinhard\. Received stain="):
            find_slides(slides, stain=name)
    with pytest.raises(OptionError, match=r"stain are for a slide or a folder of slides"):
        SourceOptions(stain="macenko").find(np.zeros((3, 8, 8, 3)))


def test_the_option_reaches_saved_tiles_and_runs(slides, tmp_path):
    arguments = ["tile", slides, "--out", tmp_path / "plan", "--save", "--stain", "macenko"]
    arguments += ["--tile-size", 64, "--tissue-rule", "none", "--quiet"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    tiles = find_slides(slides, size=64, rule="none", stain="macenko").read(slice(None))
    saved = np.asarray(Image.open(tmp_path / "plan" / "tiles" / "b.tif" / "64_128.png"))
    np.testing.assert_array_equal(saved, tiles[16])

    quick = {"epochs": 1, "latent_features": 2, "filters": (2,), "clusters": 2, "stability": 0, "map": "pca"}
    made = run(slides, tmp_path / "run", stain="reinhard", verbose=0, device="cpu", **quick, **TILES)
    facts = yaml.safe_load((made.path / "run.yaml").read_text())
    assert facts["source_options"]["stain"] == "reinhard"
    for stain in (None, "macenko"):
        out = tmp_path / f"{stain}.parquet"
        encode(made.path / "model", slides, out, stain=stain, verbose=0, device="cpu", **TILES)
    assert (tmp_path / "None.parquet").read_bytes() != (tmp_path / "macenko.parquet").read_bytes()


def test_a_real_slide(shared_data):
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    plain = find_slides(path, size=128)
    tiles = plain.read(slice(None))
    source = find_slides(path, size=128, stain="macenko")
    macenko = source.slides[0].stain
    assert macenko is not None
    assert degrees_between(macenko.source.vectors, REFERENCE_STAINS.vectors).max() < 25
    normalised = source.read(slice(None))
    again = Macenko.estimate(normalised)
    assert degrees_between(again.source.vectors, REFERENCE_STAINS.vectors).max() < 6
    assert again.source.strongest == pytest.approx(REFERENCE_STAINS.strongest, rel=0.2)
    glass = (tiles.min(axis=-1) > 238) & (np.ptp(tiles, axis=-1) <= 6)
    assert normalised[glass].min() > 235
    # the default target of Reinhard's method is this very slide
    reinhard = find_slides(path, size=128, stain="reinhard").read(slice(None))
    assert difference(reinhard, tiles) < 4
