"""DICOM series as slides: files that pydicom wrote, read by OpenSlide."""

import os
import re
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from caescope.errors import DataError, FileFormatError
from caescope.pipeline import run
from caescope.slide_jobs import tile
from caescope.slides import dicom, find_slides, open_slide
from caescope.slides.finding import slide_files
from caescope.source_options import SourceOptions

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
CT = "1.2.840.10008.5.1.4.1.1.2"
ALL = {"rule": "none"}
FRAME = 64


def noise(height=200, width=300, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def frames_of(pixels):
    """Return pixels as frames in reading order, padded with black."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // FRAME), -(-width // FRAME)
    padded = np.zeros((rows * FRAME, columns * FRAME, 3), np.uint8)
    padded[:height, :width] = pixels
    return padded.reshape(rows, FRAME, columns, FRAME, 3).swapaxes(1, 2).reshape(-1, FRAME, FRAME, 3)


def header_of(series, kind="VOLUME", sop_class=WHOLE_SLIDE, resampled=False):
    """Return what names an instance of a series."""
    data, data.file_meta = Dataset(), FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality = "CT" if sop_class == CT else "SM"
    origin, how = ("DERIVED", "RESAMPLED") if resampled else ("ORIGINAL", "NONE")
    data.ImageType = [origin, "PRIMARY", kind, how]
    data.SeriesInstanceUID = series
    return data


def write_instance(path, pixels, series, mpp=0.5, **options):
    """Write one level, or another picture, of a slide: tiled, full and uncompressed."""
    data, frames = header_of(series, **options), frames_of(pixels)
    data.DimensionOrganizationType = "TILED_FULL"
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = pixels.shape[:2]
    data.NumberOfFrames, data.Rows, data.Columns = len(frames), FRAME, FRAME
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [mpp / 1000, mpp / 1000]
    groups.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [groups]
    data.PixelData = frames.tobytes()
    data["PixelData"].VR = "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_series(folder, name="", seed=0):
    """Write a label and two levels, of which the coarser comes last by name, and return the levels."""
    series = generate_uid()
    levels = [noise(seed=seed), noise(100, 150, seed=seed + 1000)]
    write_instance(folder / f"{name}0.dcm", noise(64, 64), series, kind="LABEL")
    write_instance(folder / f"{name}1.dcm", levels[0], series, mpp=0.5)
    write_instance(folder / f"{name}2.dcm", levels[1], series, mpp=1, resampled=True)
    return levels


@pytest.fixture
def study(tmp_path):
    """Two slides in sub-folders of their own, as archives hand them out."""
    write_series(tmp_path / "s1", seed=1)
    write_series(tmp_path / "s2", seed=2)
    return tmp_path


@pytest.mark.parametrize("file", ["0.dcm", "1.dcm", "2.dcm"])
def test_any_file_of_a_series_opens_all_of_it(tmp_path, file):
    levels = write_series(tmp_path)
    slide = open_slide(tmp_path / file)
    assert (slide.level_dimensions, slide.downsamples) == (((300, 200), (150, 100)), (1, 2))
    assert (slide.mpp, slide.vendor) == (0.5, "dicom")
    for level, (width, height) in enumerate(slide.level_dimensions):
        region = np.asarray(slide.read_region(level, 0, 0, width, height))
        np.testing.assert_array_equal(region, levels[level])


def test_tiles_of_a_series_are_what_was_written(study):
    source = find_slides(study, size=50, mpp=1, **ALL)
    assert repr(source) == f"SlideSource({study.name!r}, 12 tiles of 2 slides)"
    assert source.ids[[0, 1, -1]].tolist() == ["s1/0_0", "s1/100_0", "s2/200_100"]
    assert set(source.columns["mpp"].tolist()) == {1}
    truth = [
        noise(100, 150, seed=1000 + i)[y : y + 50, x : x + 50]
        for i in (1, 2)
        for y in (0, 50)
        for x in (0, 50, 100)
    ]
    np.testing.assert_array_equal(source.read(slice(None)), truth)


def test_a_series_alone_in_its_folder_is_named_after_it_and_others_after_their_first_level(study):
    assert slide_files(study) == {"s1": study / "s1/1.dcm", "s2": study / "s2/1.dcm"}
    assert slide_files(study / "s1") == {"s1": study / "s1/1.dcm"}
    assert slide_files(study / "s1/2.dcm") == {"2.dcm": study / "s1/2.dcm"}
    write_series(study / "s2", "b", seed=3)
    assert list(slide_files(study)) == ["s1", "s2/1.dcm", "s2/b1.dcm"]
    (study / "s1" / "scan.tif").write_bytes(b"")
    assert list(slide_files(study)) == ["s1/1.dcm", "s1/scan.tif", "s2/1.dcm", "s2/b1.dcm"]


def test_names_stay_unique_where_folder_and_sub_folder_have_one_name(tmp_path):
    root = tmp_path / "s1"
    write_series(root)
    write_series(root / "s1", seed=1)
    assert slide_files(root) == {"1.dcm": root / "1.dcm", "s1": root / "s1/1.dcm"}


def test_suffixes_in_capitals_and_hidden_files(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "a/1.dcm").rename(tmp_path / "a/1.DCM")
    (tmp_path / "a/._1.dcm").write_bytes(b"what a file manager leaves")
    assert list(slide_files(tmp_path)) == ["a"]
    assert len(find_slides(tmp_path, size=100, **ALL)) == 6


def test_each_file_is_looked_at_once(tmp_path, monkeypatch):
    series = [generate_uid() for _ in range(5)]
    for i in range(60):
        header_of(series[i % 5]).save_as(tmp_path / f"{i:02d}.dcm", enforce_file_format=True)
    looked_at, read = [], dicom.read_dicom_header
    monkeypatch.setattr(dicom, "read_dicom_header", lambda path: looked_at.append(path) or read(path))
    assert list(slide_files(tmp_path)) == [f"{i:02d}.dcm" for i in range(5)]
    assert sorted(looked_at) == sorted(tmp_path.iterdir())


def test_a_broken_file_among_good_ones_is_an_error_or_listed(study):
    (study / "s1" / "3.dcm").write_bytes((study / "s1/2.dcm").read_bytes()[:200])
    with pytest.raises(FileFormatError, match=r"3\.dcm must be .* Received .* \w+\.$"):
        find_slides(study, size=50, **ALL)
    source = find_slides(study, size=50, skip_unreadable=True, **ALL)
    assert [name for name, _ in source.skipped] == ["s1/3.dcm"]
    assert [planned.name for planned in source.slides] == ["s1", "s2"]


def test_pixels_that_are_cut_off_end_in_one_sentence(study):
    whole = (study / "s1/1.dcm").read_bytes()
    (study / "s1/1.dcm").write_bytes(whole[:-200_000])
    source = find_slides(study, size=50, **ALL)
    with pytest.raises(FileFormatError, match=r"Tile .* of .*1\.dcm must be readable\. Received \w"):
        source.load()


def test_series_that_are_no_slides_say_what_they_are(study):
    write_instance(study / "s3/0.dcm", noise(64, 64), generate_uid(), kind="LABEL")
    scan = generate_uid()
    for i in range(3):
        path = study / f"ct/{i}.dcm"
        path.parent.mkdir(exist_ok=True)
        header_of(scan, sop_class=CT).save_as(path, enforce_file_format=True)
    source = find_slides(study, size=50, skip_unreadable=True, **ALL)
    assert len(source.slides) == 2
    reasons = dict(source.skipped)
    assert list(reasons) == ["ct", "s3"]
    assert "Received DICOM of another kind, modality CT. Give files of" in reasons["ct"]
    assert "shows the slide itself (ImageType VOLUME). Received LABEL without" in reasons["s3"]
    with pytest.raises(FileFormatError, match=r"0\.dcm must be a DICOM whole-slide image\. Received"):
        find_slides(study, size=50, **ALL)
    shutil.rmtree(study / "ct")
    with pytest.raises(FileFormatError, match=r"0\.dcm must belong to a DICOM series that shows the slide"):
        find_slides(study, size=50, **ALL)


def test_dicom_is_a_source_of_slides_with_options_and_without(study):
    for path in (study, study / "s1", study / "s1/1.dcm"):
        for options in (SourceOptions(tile_size=64, tissue_rule="none"), SourceOptions(min_tissue=0)):
            assert repr(options.find(path)).startswith("SlideSource")
        assert SourceOptions()._is_slides(path)
    (study / "s1/photo.png").write_bytes(b"")
    assert not SourceOptions()._is_slides(study)  # a folder of images, as before
    assert SourceOptions()._is_slides(study / "s1")


def test_a_folder_of_series_is_cut_and_run(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    options = {"tile_size": 32, "tissue_rule": "none", "verbose": 0}
    assert tile(study, out / "plan", save=True, **options).exists()
    assert (out / "plan/tiles/s1/0_0.png").exists()
    labels = out / "slides.csv"
    labels.write_text("slide,label\ns1,a\ns2,b\n")
    quick = {"epochs": 1, "latent_features": 3, "filters": (4,), "clusters": 3, "stability": 0, "map": "pca"}
    made = run(study, out / "run", labels=labels, device="cpu", **quick, **options)
    assert (made.path / "report.html").exists()


def test_links_out_of_the_folder_are_refused(study, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.dcm"
    write_instance(outside, noise(), generate_uid())
    (study / "s1/link.dcm").symlink_to(outside)
    with pytest.raises(FileFormatError, match="must lead to a file in that folder"):
        slide_files(study)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("told", [False, True])
def test_headers_are_read_through_whatever_is_nested_before_the_series(tmp_path, syntax, told):
    data, inner, innermost = header_of("1.2.3"), Dataset(), Dataset()
    data.file_meta.TransferSyntaxUID = syntax
    innermost.SeriesInstanceUID = "9.9.9"  # of another series, referred to
    inner.ReferencedInstanceSequence = [innermost, innermost]
    data.ReferencedSeriesSequence = [inner]
    data.add_new(0x0009_0010, "LO", "private")
    data.add_new(0x0009_1001, "UN", bytes(range(256)) * 300)
    for sequence in (data[0x0008_1115], inner[0x0008_114A]):
        sequence.is_undefined_length = not told
    for item in (inner, innermost):
        item.is_undefined_length_sequence_item = not told
    path = tmp_path / "a.dcm"
    data.save_as(path, enforce_file_format=True)
    assert dicom.read_dicom_header(path) == (WHOLE_SLIDE, "SM", "VOLUME", "1.2.3")


def test_a_sequence_of_unknown_type_is_implicit_within(tmp_path):
    path = tmp_path / "a.dcm"
    header_of("1.2.3").save_as(path, enforce_file_format=True)
    whole, place = path.read_bytes(), path.read_bytes().index(struct.pack("<HH2s", 0x20, 0xE, b"UI"))
    inner = struct.pack("<HHI", 0x20, 0xE, 6) + b"9.9.9\0"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    unknown = struct.pack("<HH2sHI", 0x9, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    unknown += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(whole[:place] + unknown + whole[place:])
    assert dicom.read_dicom_header(path).series == "1.2.3"


@pytest.fixture(scope="module")
def a_header(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("header") / "a.dcm"
    data, inner = header_of("1.2.3"), Dataset()
    inner.ReferencedSOPInstanceUID = "4.5.6"
    data.ReferencedImageSequence = [inner]
    data[0x0008_1140].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)
    return path.read_bytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_headers_are_read_or_end_in_one_sentence(a_header, tmp_path_factory, data):
    content = bytearray(a_header[: data.draw(st.integers(0, len(a_header)))])
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(content)
    with suppress(FileFormatError):
        assert all(len(value) <= dicom.LONGEST for value in dicom.read_dicom_header(path))


@pytest.mark.parametrize(
    "element",
    [
        struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF),  # nested and never ended
        struct.pack("<HH2sH", 8, 0x1, b"LO", 0),  # nothing, again and again
    ],
)
def test_headers_without_end_are_given_up(tmp_path, a_header, element):
    start = a_header.index(struct.pack("<HH2s", 8, 8, b"CS"))
    path = Path(tmp_path, "bomb.dcm")
    path.write_bytes(a_header[:start] + element * (3 * dicom.WITHIN // len(element)))
    with pytest.raises(FileFormatError, match="no SeriesInstanceUID"):
        dicom.read_dicom_header(path)


def test_a_value_that_is_too_long_is_not_read(tmp_path, a_header):
    start = a_header.index(struct.pack("<HH2s", 8, 8, b"CS"))
    (tmp_path / "a.dcm").write_bytes(
        a_header[:start] + struct.pack("<HH2sH", 8, 8, b"CS", 2000) + b"A" * 2000 + a_header[start:]
    )
    with pytest.raises(
        FileFormatError, match=r"a\.dcm must be .* ValueError: 2000 bytes in element 00080008\."
    ):
        dicom.read_dicom_header(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_headers_that_are_coded_otherwise_are_refused(tmp_path, a_header, syntax):
    path, known = tmp_path / "a.dcm", header_of("1.2.3").file_meta.TransferSyntaxUID
    element = struct.pack("<HH2s", 0x2, 0x10, b"UI")
    start = a_header.index(element) + 8
    length = struct.unpack_from("<H", a_header, start - 2)[0]
    assert a_header[start:].startswith(known.encode())
    other = syntax.encode() + b"\0" * (len(syntax) % 2)
    path.write_bytes(
        a_header[: start - 2] + struct.pack("<H", len(other)) + other + a_header[start + length :]
    )
    with pytest.raises(
        FileFormatError, match=rf"as a DICOM file\. Received ValueError: transfer syntax {re.escape(syntax)}"
    ):
        dicom.read_dicom_header(path)


def test_a_slide_without_pixels_is_damaged_and_no_other_kind(tmp_path):
    header_of("1.2.3").save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(
        FileFormatError, match=r"a\.dcm must be readable as a slide\. Received OpenSlideError: "
    ):
        open_slide(tmp_path / "a.dcm")


def test_a_folder_that_holds_only_what_is_no_slide_says_so(tmp_path):
    (tmp_path / "a.dcm").write_bytes(os.urandom(500))
    with pytest.raises(
        DataError, match=r"at least one tile\. Received none, for example from a\.dcm: .*a\.dcm"
    ):
        find_slides(tmp_path, skip_unreadable=True)
