"""Latents of a whole source as a folder of parts, which one process writes or several share."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from caescope.cae import CAE
from caescope.data.opening import Source
from caescope.encoding import (
    PART_IMAGES,
    describe_job,
    encode_blocks,
    encode_progress,
    encode_stage,
    errors_only,
    table_of,
)
from caescope.errors import OptionError, TrainingError
from caescope.model.memory import images_at_a_time
from caescope.parallel import blocks_of, count_cores, share_of
from caescope.parts import part_name, write_success
from caescope.parts_job import folder_of_parts
from caescope.progress import Stages
from caescope.storage import Place
from caescope.table import LatentTable

LEAST_IMAGES, PARTS = 64, 32  # of a part, and parts of a small source, so that every worker has some
SHARES = 4  # of a part, in blocks; the same for any number of threads, for the last digits depend on blocks


def encode_to_parts(
    cae: CAE, images: Source, out: str | Path, stages: Stages, encode_parts: Callable | None = None
) -> None:
    """Write latents, errors and mean colours of all images as a folder of parts.

    Which images a part has depends on their number alone, so whoever encodes them, the result is the same.

    Parameters
    ----------
    cae : CAE
    images : source
    out : path-like
        The folder, which may be on storage.
    stages : Stages
    encode_parts : callable, optional
        ``encode_parts(cae, images, place, parts)`` writes those parts, slices of images, each under its
        `part_name`, and yields the number of images of each when it is there. By default this process does.
    """
    whole = [*blocks_of(len(images), part_size(len(images)))]
    job = describe_job(cae, images, part_size(len(images)))
    with encode_stage(cae, images, stages), folder_of_parts(out, job) as place:
        there = set(place.names())
        todo = [part for part in whole if part_name(part.start) not in there]
        progress = encode_progress(images, todo, stages)
        for count in (encode_parts or write_parts)(cae, images, place, todo) if todo else ():
            progress.add(count)
        _demand_all(place, whole)
        write_success(place, [part.stop - part.start for part in whole])


def write_parts(cae: CAE, images: Source, place: Place, parts: Iterable[slice]) -> Iterator[int]:
    """Encode parts one after the other and write each; yield its number of images when it is there."""
    for part in parts:
        table = encode_part(cae, images, part, count_cores())
        (place / part_name(part.start)).write_bytes(table.as_parquet())
        yield len(table)


def encode_part(cae: CAE, images: Source, part: slice, threads: int) -> LatentTable:
    """Return latents, errors and mean colours of some images in a row.

    Where there is no memory for so many images at a time, half of them are tried.

    Raises
    ------
    OptionError
        If there is none for those either.
    """
    most = images_at_a_time(cae.options, cae.encoder.device)
    size = share_of(part.stop - part.start, most, SHARES)
    for at_a_time in (size, max(1, size // 2)):
        try:
            return table_of(images, [*encode_blocks(cae, images, errors_only, [part], threads, at_a_time)])
        except (MemoryError, TrainingError):  # which is what networks make of the former
            continue
    shape = "×".join(map(str, images.shape))
    raise OptionError(
        f"A worker must have memory for {threads} times {max(1, size // 2)} images of {shape}",
        f"out of memory, and before with {threads} times {size}",
        "Use fewer workers on each machine, fewer cpus_per_worker, or machines with more memory.",
    )


def part_size(n_images: int) -> int:
    """Return how many images a part has, so that every worker gets some of them.

    >>> part_size(100), part_size(100_000), part_size(10**9)
    (64, 3125, 8192)
    """
    return min(PART_IMAGES, max(LEAST_IMAGES, -(-n_images // PARTS)))


def _demand_all(place: Place, parts: list[slice]) -> None:
    there = set(place.names())
    missing = [part for part in parts if part_name(part.start) not in there]
    if missing:
        raise OptionError(
            "All workers must write to one folder",
            f"{len(missing):,} of {len(parts):,} parts that are not where they were to be written",
            "Give a folder on a disk that all machines share, or on object storage.",
        )
