"""Options of a source, and which sources are read once."""

import numpy as np
import pytest
from PIL import Image

from caescope.data import ArraySource, find_source
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.source_options import (
    SourceOptions,
    keep_small,
    parse_source_options,
    reopen_source,
    split_options,
)

IMAGES = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


def test_options_of_the_source_are_told_from_others():
    ours, others = split_options({"resize": 8, "epochs": 3})
    assert (ours, others) == (SourceOptions(resize=8), {"epochs": 3})
    assert ours.given() == {"resize": 8}
    assert parse_source_options({"grey": True}) == SourceOptions(grey=True)
    with pytest.raises(
        OptionError, match=r"must be one of resize, crop, grey, .*\. Received 'epochs'\. Check"
    ):
        parse_source_options({"resize": 8, "epochs": 3})


def test_tiles_are_of_slides():
    with pytest.raises(OptionError, match=r"tile_size, .* are for a slide .*Received them for a ndarray\."):
        SourceOptions(tile_size=64).find(IMAGES)


def test_few_images_are_kept_and_many_are_not(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", IMAGES)
    source = find_source(tmp_path / "a.npy")
    kept = keep_small(source)
    assert isinstance(kept, ArraySource)
    assert kept.name == "a.npy"
    np.testing.assert_array_equal(kept.images, source.read(slice(None)))
    assert keep_small(kept) is kept
    monkeypatch.setattr("caescope.source_options.IN_MEMORY", IMAGES.size - 1)
    assert keep_small(source) is source


def test_a_file_that_was_damaged_meanwhile_is_named(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    source = find_source(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(FileFormatError, match=r"a\.npy must be readable as an NPY file"):
        keep_small(source)


def test_of_a_folder_all_images_are_named_that_cannot_be_read(tmp_path):
    for i in range(3):
        Image.fromarray(IMAGES[i]).save(tmp_path / f"{i}.png")
        if i:
            whole = (tmp_path / f"{i}.png").read_bytes()
            (tmp_path / f"{i}.png").write_bytes(whole[:-20])  # of which the header is whole
    with pytest.raises(
        DataError, match=r"must be readable\. Received 2 of 3 images .*\n  1\.png .*\n  2\.png "
    ):
        keep_small(find_source(tmp_path))


def test_the_source_of_a_run_is_opened_as_it_was(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    facts = {"source_path": str(tmp_path / "a.npy"), "source_options": {"resize": 2}}
    assert reopen_source(facts).shape == (2, 2, 1)
    assert reopen_source({"source_path": str(tmp_path / "a.npy")}).shape == (4, 5, 1)


@pytest.mark.parametrize(
    "facts", [{}, {"source_path": None}, {"source_path": 3}, {"source_path": "a", "source_options": 1}]
)
def test_a_run_of_images_in_memory_has_no_source(facts):
    with pytest.raises(DataError, match="Images of a run must be in files to be found again"):
        reopen_source(facts)


def test_options_that_no_source_has_are_refused_when_it_is_opened_again():
    with pytest.raises(OptionError, match="An option must be one of resize"):
        reopen_source({"source_path": "a.npy", "source_options": {"depth": 3}})


def test_an_array_is_no_slide():
    assert SourceOptions().find(IMAGES).shape == (4, 5, 1)
