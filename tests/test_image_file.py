"""What becomes of files that are not plain 8-bit grey or RGB, as the table in the module says."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caescope.data import open_source
from caescope.data.image_file import read_pixels, read_shape
from caescope.errors import FileFormatError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 7)], axis=-1)


def png(width, height, depth, colour, rows: bytes = b"\0") -> bytes:
    """Return a PNG file by hand; colour is 0 for grey and 2 for RGB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def demand_pixels(path, expected) -> None:
    """Demand what pixels and header say of the file, and that a folder with it is read."""
    pixels = read_pixels(path)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == np.uint8
    assert read_shape(path) == (*pixels.shape, 1)[:3]
    np.testing.assert_array_equal(open_source(path.parent).images[0], pixels.reshape(*pixels.shape[:2], -1))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, suffix, share):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    options = {"compression": "tiff_lzw"} if suffix == "tif" else {}
    Image.fromarray(noise).save(whole, **options)
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match=rf"a.{suffix} must be readable as a PNG, JPEG, TIFF"):
        read_pixels(path)


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "UnidentifiedImageError: an empty file"),
        (b"a text", "UnidentifiedImageError: content of another kind"),
        (b"GIF89a" + bytes(40), "content of another kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "content of another kind"),
    ],
)
def test_content_decides_and_not_the_name(tmp_path, content, received):
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_pixels, read_shape):
        with pytest.raises(
            FileFormatError, match=rf"a.png must be readable as a PNG.*Received .*{received}\."
        ):
            read(tmp_path / "a.png")
    Image.fromarray(GREY).save(tmp_path / "a.png", format="BMP")
    demand_pixels(tmp_path / "a.png", GREY)


def test_one_bit(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    demand_pixels(tmp_path / "a.png", np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled(tmp_path, suffix):
    values = np.array([[0, 128, 129, 257], [32767, 32896, 65406, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    demand_pixels(tmp_path / f"a.{suffix}", [[0, 0, 1, 1], [127, 128, 254, 255]])


def test_sixteen_bits_for_each_colour_lose_the_lower_eight(tmp_path):
    row = b"\0" + struct.pack(">6H", 0, 65535, 0x1234, 0x80FF, 0xFF, 0x0100)
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, row))
    demand_pixels(tmp_path / "a.png", [[[0, 255, 0x12], [0x80, 0, 1]]])


def test_thirty_two_bit_integers_and_floats(tmp_path):
    Image.fromarray(GREY.astype(np.int32) * 257).save(tmp_path / "a.tif")
    demand_pixels(tmp_path / "a.tif", GREY)
    for values, received in (
        (GREY.astype(np.int32) + 65500, "outside"),
        (GREY / np.float32(255), "floating"),
    ):
        Image.fromarray(values).save(tmp_path / "a.tif")
        with pytest.raises(FileFormatError, match=f"ValueError: .*{received}"):
            read_pixels(tmp_path / "a.tif")


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "L").copy()
    image = Image.frombytes("P", (2, 2), image.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image.save(tmp_path / "a.png")
    demand_pixels(tmp_path / "a.png", [[[255, 0, 0], [0, 255, 0]], [[0, 255, 0], [1, 2, 3]]])


def test_cmyk(tmp_path):
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 255, 255, 0]]], np.uint8)
    Image.frombytes("CMYK", (4, 1), inks.tobytes()).save(tmp_path / "a.tif")
    demand_pixels(tmp_path / "a.tif", [[[255, 255, 255], [0, 255, 255], [0, 0, 0], [255, 0, 0]]])


def test_transparency_is_put_on_white(tmp_path):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 51]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    demand_pixels(tmp_path / "a.png", [[[10, 20, 30], [255, 255, 255], [204, 224, 255]]])
    Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8)).save(tmp_path / "a.png")
    demand_pixels(tmp_path / "a.png", [[10, 255]])


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, COLOUR),
        (2, COLOUR[:, ::-1]),
        (3, COLOUR[::-1, ::-1]),
        (4, COLOUR[::-1]),
        (5, COLOUR.transpose(1, 0, 2)),
        (6, np.rot90(COLOUR, -1)),
        (7, COLOUR[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(COLOUR)),
        (9, COLOUR),
    ],
)
def test_exif_orientation(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    demand_pixels(tmp_path / "a.png", upright)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    first, *others = [Image.fromarray(np.full((3, 4, 3), i, np.uint8)) for i in (9, 90, 200)]
    options: Any = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others, **options)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert getattr(image, "n_frames", 1) == 3
    demand_pixels(tmp_path / f"a.{suffix}", np.full((3, 4, 3), 9))


@pytest.mark.parametrize(
    ("size", "received"),
    [
        ((30_000, 30_000), "DecompressionBombError: .*900000000 pixels"),
        ((10_000, 10_000), "DecompressionBombWarning: "),
    ],
)
def test_a_gigantic_image_is_refused_by_its_header(tmp_path, size, received):
    (tmp_path / "a.png").write_bytes(png(size[0], size[1], 8, 0))
    for read in (read_pixels, read_shape):
        with pytest.raises(FileFormatError, match=f"readable as a PNG.*Received {received}"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "I;16", "P", "RGB", "RGBA", "transparent P", "transparent L"]
)
@pytest.mark.parametrize("strip", [1, 20, 46, 10**6])
def test_converting_in_strips_changes_nothing(tmp_path, monkeypatch, mode, strip):
    rng = np.random.default_rng(0)
    kind, path = mode.split()[-1], tmp_path / "a.png"
    if kind == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (9, 23)).astype(np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (9, 23, 4)).astype(np.uint8)).convert(kind)
    image.save(path, **({"transparency": 3} if " " in mode else {}))
    whole = read_pixels(path)
    monkeypatch.setattr("caescope.data.image_file.STRIP_PIXELS", strip)
    np.testing.assert_array_equal(read_pixels(path), whole)


def test_the_largest_image_that_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png(9459, 9459, 8, 0))  # 89,472,681 pixels
    assert read_shape(tmp_path / "a.png") == (9459, 9459, 1)
