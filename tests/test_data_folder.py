import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from caescope.data import load_folder, open_source
from caescope.errors import DataError, FileFormatError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY.T.reshape(3, 4), 255 - GREY], axis=-1)


def save(path, pixels=GREY, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    (image.convert(mode) if mode else image).save(path, **options)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("tif", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("bmp", {}),
        ("webp", {"lossless": True}),
    ],
)
def test_lossless_formats_keep_every_pixel(tmp_path, suffix, options):
    save(tmp_path / f"a.{suffix}", COLOUR, **options)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0], COLOUR)


def test_jpeg_is_close(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    save(tmp_path / "a.JPG", flat, quality=95)
    assert np.abs(load_folder(tmp_path).images[0].astype(int) - flat).max() <= 3


def test_sub_folders_are_classes_and_ids_are_sorted_paths(tmp_path):
    for i, name in enumerate(["dog/b.png", "cat/z.png", "cat/deep/er.png", "dog/a.png"]):
        save(tmp_path / name, np.full((3, 4), i, np.uint8))
    (tmp_path / "empty").mkdir()
    source = load_folder(tmp_path)
    assert source.ids.tolist() == ["cat/deep/er.png", "cat/z.png", "dog/a.png", "dog/b.png"]
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog"]
    assert source.images[:, 0, 0, 0].tolist() == [2, 1, 3, 0]
    assert source.name == tmp_path.name
    assert source.split is None


def test_hidden_and_other_files_are_left_out(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / ".b.png")
    save(tmp_path / ".cache" / "c.png")
    (tmp_path / "labels.csv").write_text("id,label\na.png,x\n")
    os.mkfifo(tmp_path / "pipe.png")
    source = load_folder(tmp_path)
    assert source.ids.tolist() == ["a.png"]
    assert source.labels is None
    assert source.shape == (3, 4, 1)


@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        (GREY, "L", GREY),
        ((GREY > 100), None, (GREY > 100) * np.uint8(255)),
        (GREY.astype(np.uint16) * 257, None, GREY),
        (GREY.astype(np.int32) * 257, None, GREY),
        (GREY, "LA", GREY),
    ],
    ids=["L", "1", "I;16", "I", "LA"],
)
def test_grey_modes_give_one_channel(tmp_path, pixels, mode, expected):
    save(tmp_path / "a.tiff" if pixels.dtype == np.int32 else tmp_path / "a.png", pixels, mode)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0, ..., 0], expected)


def test_palette_cmyk_and_mixed_folders_give_rgb(tmp_path):
    palette = Image.fromarray(COLOUR).quantize(16)
    save(tmp_path / "a.png", palette)
    save(tmp_path / "b.tif", COLOUR, "CMYK")
    save(tmp_path / "c.png", GREY)
    images = load_folder(tmp_path).images
    np.testing.assert_array_equal(images[0], np.asarray(palette.convert("RGB")))
    assert np.abs(images[1].astype(int) - COLOUR).max() <= 1
    np.testing.assert_array_equal(images[2], np.repeat(GREY[..., None], 3, axis=2))


def test_transparency_is_put_on_white(tmp_path):
    alpha = np.full((3, 4, 1), 255, np.uint8)
    alpha[0] = 0
    save(tmp_path / "rgba.png", np.concatenate([COLOUR, alpha], axis=-1))
    palette = Image.fromarray(np.zeros((3, 4), np.uint8)).convert("P")
    save(tmp_path / "palette.png", palette, transparency=0)
    palette_image, rgba = load_folder(tmp_path).images
    assert (rgba[0] == 255).all()
    np.testing.assert_array_equal(rgba[1:], COLOUR[1:])
    assert (palette_image == 255).all()


@pytest.mark.parametrize(
    ("orientation", "expected"), [(3, GREY[::-1, ::-1]), (6, np.rot90(GREY, -1)), (1, GREY)]
)
def test_exif_orientation_is_applied(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_folder(tmp_path).images[0, ..., 0], expected)


def test_mixed_sizes_name_the_commonest_and_an_offender(tmp_path):
    for name in ("a.png", "c.png"):
        save(tmp_path / name)
    save(tmp_path / "b.png", GREY.reshape(2, 6))
    with pytest.raises(DataError, match=r"2 of 3 with 3×4 pixels .* but b.png with 2×6"):
        load_folder(tmp_path)


def test_loose_images_beside_classes(tmp_path):
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "loose.png")
    with pytest.raises(DataError, match=r"1 images outside, for example loose.png"):
        load_folder(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match=r"no image file.*\.png, \.jpg"):
        load_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no image file"):
        open_source(tmp_path)
    for name in ("nowhere", "notes.txt"):
        with pytest.raises(FileFormatError, match="no such folder"):
            load_folder(tmp_path / name)


def png_with_size(width: int, height: int) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "content", "received"),
    [
        ("a.png", b"", "UnidentifiedImageError"),
        ("a.jpg", b"not an image", "UnidentifiedImageError"),
        ("a.png", b"GIF89a" + bytes(40), "UnidentifiedImageError"),
        ("a.bmp", b"BM" + bytes(60), "Error"),
        ("a.tif", b"II*\0" + b"\xff" * 60, "Error"),
        ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "Error"),
        ("a.png", png_with_size(60_000, 60_000), "DecompressionBombError"),
        ("a.png", png_with_size(10_000, 10_000), "DecompressionBombWarning"),
        ("a.png", png_with_size(10, 10), "Error"),
    ],
)  # fmt: skip
def test_unreadable_images_and_pixel_bombs(tmp_path, name, content, received):
    save(tmp_path / "0.png")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=f"{name} must be readable.*{received}"):
        load_folder(tmp_path)


def test_truncated_and_float_images(tmp_path, rng):
    save(tmp_path / "a.jpeg", rng.integers(0, 256, (64, 64, 3), np.uint8))
    content = (tmp_path / "a.jpeg").read_bytes()
    (tmp_path / "a.jpeg").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"a.jpeg must be readable.*truncated"):
        load_folder(tmp_path)
    (tmp_path / "a.jpeg").unlink()
    save(tmp_path / "b.tif", GREY.astype(np.float32))
    with pytest.raises(FileFormatError, match="floating-point pixels"):
        load_folder(tmp_path)
    save(tmp_path / "b.tif", GREY.astype(np.int32) - 5)
    with pytest.raises(FileFormatError, match=r"outside \[0, 65535\]"):
        load_folder(tmp_path)


def test_links_may_not_lead_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(root / "a.png")
    save(outside / "secret.png")
    (root / "inner.png").symlink_to(root / "a.png")
    (root / "readme.txt").symlink_to(outside / "anything")
    assert load_folder(root).ids.tolist() == ["a.png", "inner.png"]
    for name, target in [
        ("b.png", outside / "secret.png"),
        ("folder", outside),
        ("up", tmp_path),
        ("self", root),
    ]:
        (root / name).symlink_to(target)
        with pytest.raises(FileFormatError, match=f"must lead to a file in that folder.*{name}"):
            load_folder(root)
        (root / name).unlink()
    (tmp_path / "alias").symlink_to(root)
    assert len(load_folder(tmp_path / "alias")) == 2


def test_real_tiles(shared_data):
    source = load_folder(shared_data / "lc25000")
    assert len(source) == 1231
    assert source.shape == (224, 224, 3)
    assert len(set(source.labels.tolist())) == 5
