"""What the header of a DICOM file tells: its series, and whether it shows a slide, its label or neither.

OpenSlide finds the other files of a series by itself, but opens every file of the folder to do so: asked
about each of them it would need time by the square of their number. So what is needed is read here.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from caescope.errors import FileFormatError
from caescope.files import decoding, printable

KIND = "a DICOM file"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
IMPLICIT = "1.2.840.10008.1.2"  # the one transfer syntax whose elements do not name their type
OTHERWISE_CODED = ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")  # big endian, deflated
SOP_CLASS, TRANSFER_SYNTAX, META_END = 0x0002_0002, 0x0002_0010, 0x0002_FFFF
IMAGE_TYPE, MODALITY, SERIES = 0x0008_0008, 0x0008_0060, 0x0020_000E
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
ENDS = (0xFFFE_E00D, 0xFFFE_E0DD)  # of an item and of a sequence
UNDEFINED = 0xFFFF_FFFF
WITHIN = 4 << 20  # bytes; the series comes before anything large
LONGEST = 1024  # bytes of a value


class DicomHeader(NamedTuple):
    """The attributes of a file that tell what it is.

    ``image_type`` is the third value of the attribute: VOLUME, LABEL, OVERVIEW or THUMBNAIL.
    """

    sop_class: str
    modality: str
    image_type: str
    series: str


class _Element(NamedTuple):
    tag: int
    length: int
    explicit: bool  # whether what it holds names types


def read_dicom_header(path: str | os.PathLike) -> DicomHeader:
    """Return what a DICOM file is, read from its first bytes.

    Raises
    ------
    FileFormatError
        If it is no DICOM file, of big endian or deflated ones, or damaged before its series is told.

    References
    ----------
    DICOM PS3.5, section 7, and PS3.10, section 7.1.
    """
    with decoding(path, KIND), open(path, "rb") as file:
        if _exactly(file, 132)[128:] != b"DICM":
            raise ValueError("no DICM after the preamble")
        values = _values(file, (SOP_CLASS, TRANSFER_SYNTAX), META_END, explicit=True)
        syntax = values.get(TRANSFER_SYNTAX)
        if syntax is None or syntax in OTHERWISE_CODED:
            raise ValueError(f"transfer syntax {syntax}")
        values |= _values(file, (IMAGE_TYPE, MODALITY, SERIES), SERIES, explicit=syntax != IMPLICIT)
        if SERIES not in values:
            raise ValueError("no SeriesInstanceUID")
    types = values.get(IMAGE_TYPE, "").split("\\")
    return DicomHeader(
        values.get(SOP_CLASS, ""), values.get(MODALITY, ""), (*types, "", "")[2].strip(), values[SERIES]
    )


def group_by_series(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return one file for each series among those of a folder, and the files that tell none.

    It is the first by name of those that show the slide itself, where there are such.
    """
    first: dict[str, tuple[bool, Path]] = {}
    broken = []
    for file in sorted(files):
        try:
            header = read_dicom_header(file)
        except FileFormatError:
            broken.append(file)
            continue
        candidate = header.image_type != "VOLUME", file
        first[header.series] = min(first.get(header.series, candidate), candidate)
    return [file for _, file in first.values()], broken


def demand_whole_slide(path: str | os.PathLike) -> None:
    """Say why OpenSlide refuses a file, where it is a sound DICOM file of something else than a slide.

    Raises
    ------
    FileFormatError
    """
    try:
        header = read_dicom_header(path)
    except FileFormatError:
        return
    if header.sop_class != WHOLE_SLIDE:
        raise FileFormatError(
            f"{path} must be a DICOM whole-slide image",
            f"DICOM of another kind, modality {printable(header.modality, 16) or 'unknown'}",
            "Give files of VL Whole Slide Microscopy, and take the other series out of the folder.",
        )
    if header.image_type != "VOLUME":
        raise FileFormatError(
            f"{path} must belong to a DICOM series that shows the slide itself (ImageType VOLUME)",
            f"{printable(header.image_type, 16) or 'no ImageType'} without a readable VOLUME",
            "Put all files of the series into one folder, or take this one out.",
        )


def _values(file: BinaryIO, wanted: tuple[int, ...], last: int, explicit: bool) -> dict[int, str]:
    """Read elements, whose tags ascend, up to the last tag, and return those wanted."""
    values = {}
    while last not in values and file.tell() < WITHIN:
        start = file.tell()
        element = _next_element(file, explicit)
        if element.tag > last:
            file.seek(start)
            break
        if element.tag in wanted:
            if element.length > LONGEST:
                raise ValueError(f"{element.length} bytes in element {element.tag:08X}")
            values[element.tag] = _exactly(file, element.length).decode("ascii", "replace").strip(" \0")
        else:
            _skip(file, element)
    return values


def _next_element(file: BinaryIO, explicit: bool) -> _Element:
    """Read a tag, its type where types are named, and its length; the value comes next."""
    group, number, kind, short = struct.unpack("<HH2sH", _exactly(file, 8))
    if not explicit or group == 0xFFFE:
        return _Element(group << 16 | number, int.from_bytes(kind, "little") | short << 16, explicit)
    if kind not in LONG:
        return _Element(group << 16 | number, short, explicit)
    length = int.from_bytes(_exactly(file, 4), "little")
    return _Element(group << 16 | number, length, kind != b"UN")  # of unknown type: implicit within


def _skip(file: BinaryIO, element: _Element) -> None:
    """Go to the end of an element, through whatever is nested in it where its length is not told."""
    open_explicit = []  # of each sequence or item that waits for its end
    while True:
        if element.tag in ENDS:
            open_explicit.pop()
        elif element.length == UNDEFINED:
            open_explicit.append(element.explicit)
        else:
            file.seek(element.length, os.SEEK_CUR)
        if not open_explicit or file.tell() > WITHIN:
            return
        element = _next_element(file, open_explicit[-1])


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError("truncated")
    return content
