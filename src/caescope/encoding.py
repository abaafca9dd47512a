"""Latents of a whole source, a block at a time: all at once, or as a file that can be gone on with."""

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from caescope.analysis.baselines import mean_colour
from caescope.analysis.latents import flatten_latents
from caescope.analysis.reconstruction import image_errors, image_quality
from caescope.cae import CAE
from caescope.data import ArraySource
from caescope.data.numbers import Numbers
from caescope.data.opening import Source
from caescope.model.memory import images_at_a_time
from caescope.parallel import blocks_of, count_cores, map_in_order, one_thread_each, share_of
from caescope.parts_job import kept_parts
from caescope.progress import Progress, Stages
from caescope.run_folder import fingerprint_array
from caescope.staging import only_writer
from caescope.table import LatentTable
from caescope.writing import write_through

COLOURS = {1: ("brightness",), 3: ("red", "green", "blue")}  # columns for the mean of each channel
PART_IMAGES = 8192  # images whose latents are lost at most when an encoding is interrupted

Quality = dict[str, np.ndarray]


class Block(NamedTuple):
    """What is known of some images in a row."""

    rows: slice
    latents: np.ndarray
    quality: Quality
    colours: np.ndarray


def encode_images(cae: CAE, images: Source, stages: Stages) -> tuple[LatentTable, Quality]:
    """Return latents, errors and mean colours of all images, and their quality.

    The quality is what `caescope.analysis.reconstruction.image_quality` says of each image.
    """
    with encode_stage(cae, images, stages):
        blocks = list(encode_blocks(cae, images, image_quality, [slice(0, len(images))]))
    quality = {name: np.concatenate([block.quality[name] for block in blocks]) for name in blocks[0].quality}
    return table_of(images, blocks), quality


def encode_to_file(cae: CAE, images: Source, path: Path, stages: Stages) -> None:
    """Write latents, errors and mean colours of all images as Parquet, in parts as they come.

    The parts lie in a hidden folder beside ``path`` until all are there. When that is interrupted, the same
    encoding goes on after the last of them; that of another model or of other images starts anew.
    """
    job = describe_job(cae, images, PART_IMAGES)
    with only_writer(path), encode_stage(cae, images, stages), kept_parts(path, job, "job.json") as parts:
        whole = [*blocks_of(len(images), PART_IMAGES)]
        todo = [part for part in whole if not _part(parts, part).exists()]
        progress = encode_progress(images, todo, stages)
        with closing(encode_blocks(cae, images, errors_only, todo)) as blocks:
            for part in todo:
                table = table_of(images, _blocks_until(part.stop, blocks))
                table.write(_part(parts, part))
                progress.add(len(table))
        _join([_part(parts, part) for part in whole], path)
        shutil.rmtree(parts)


def block_size(cae: CAE, images: Source) -> int:
    """Return how many images a core works on at a time; with few images, every core still gets some."""
    return share_of(len(images), images_at_a_time(cae.options, cae.encoder.device), count_cores())


def encode_stage(cae: CAE, images: Source, stages: Stages) -> AbstractContextManager:
    """Time what happens inside as the stage that encodes."""
    size = "×".join(map(str, images.shape))  # a folder compares all headers here, before it encodes
    numbers = "" if cae.predict_precision == "float32" else f", in {cae.predict_precision}"
    return stages.stage("encode", f"{len(images):,} images of {size}{numbers}")


def encode_progress(images: Source, todo: list[slice], stages: Stages) -> Progress:
    """Return what says how far that stage is, of which these parts are left to be done."""
    at = len(images) - sum(part.stop - part.start for part in todo)
    return Progress(stages, "encode", len(images), "images", at if todo else 0)


def encode_blocks(
    cae: CAE,
    images: Source,
    measure: Callable,
    parts: Iterable[slice],
    threads: int | None = None,
    at_a_time: int | None = None,
) -> Generator[Block]:
    """Yield the images of parts, encoded and measured; no block has images of two of them.

    Each core reads, encodes and reconstructs small blocks of its own: what a block needs stays in the core's
    cache, and no more than a few blocks are in memory. On a GPU one block at a time has its memory.
    """
    turns = nullcontext() if cae.encoder.device.type == "cpu" else Lock()

    def encode_rows(rows: slice) -> Block:
        originals = images.read(rows)
        with turns:
            latents = cae.encoder.predict(originals)
            reconstructions = cae.decoder.predict(latents)
        return Block(rows, latents, measure(originals, reconstructions), mean_colour(originals))

    size = at_a_time or block_size(cae, images)
    rows = (
        slice(part.start + block.start, part.start + block.stop)
        for part in parts
        for block in blocks_of(part.stop - part.start, size)
    )
    with one_thread_each():
        yield from map_in_order(encode_rows, rows, threads)


def _blocks_until(stop: int, blocks: Iterator[Block]) -> list[Block]:
    """Return the next blocks, up to the one that ends before image ``stop``."""
    found = [next(blocks)]
    while found[-1].rows.stop < stop:
        found.append(next(blocks))
    return found


def errors_only(images: np.ndarray, reconstructions: np.ndarray) -> Quality:
    """Measure what a table of latents holds, and no more."""
    return {"mse": image_errors(images, reconstructions)}


def table_of(images: Source, blocks: list[Block]) -> LatentTable:
    """Return what blocks in a row know, with what the source knows of the same images."""
    rows = slice(blocks[0].rows.start, blocks[-1].rows.stop)
    colours = np.concatenate([block.colours for block in blocks])
    means = dict(zip(COLOURS[colours.shape[1]], colours.T, strict=True))
    return LatentTable(
        images.ids[rows],
        flatten_latents(np.concatenate([block.latents for block in blocks])),
        None if images.split is None else images.split[rows],
        None if images.labels is None else images.labels[rows],
        errors=np.concatenate([block.quality["mse"] for block in blocks]).astype(np.float32),
        columns={name: values[rows] for name, values in images.columns.items()} | means,
    )


def describe_job(cae: CAE, images: Source, part_images: int) -> dict[str, str | int]:
    """Return what an encoding must have in common with one that goes on with it."""
    weights, known = sha256(repr(cae.options).encode()), sha256(_stamp(images).encode())
    for array in cae.model.get_weights():
        weights.update(np.ascontiguousarray(array).data)
    names = None if isinstance(images.ids, Numbers) else images.ids  # numbers say no more than the stamp
    for column in (names, images.split, images.labels, *images.columns.values()):
        for rows in blocks_of(len(images), PART_IMAGES):
            known.update(repr(None if column is None else column[rows].tolist()).encode())
    return {
        "model": weights.hexdigest(),
        "images": known.hexdigest(),
        "shape": "×".join(map(str, images.shape)),
        "precision": cae.predict_precision,
        "part_images": part_images,
    }


def _stamp(images: Source) -> str:
    """Return what changes when pixels do: their digest, or the size and age of their files."""
    return fingerprint_array(images.images) if isinstance(images, ArraySource) else images.stamp()


def _part(parts: Path, rows: slice) -> Path:
    return parts / f"{rows.start:012d}.parquet"


def _join(files: list[Path], path: Path) -> None:
    """Write all parts into one file, a part at a time."""
    with write_through(path) as target, pq.ParquetWriter(target, pq.read_schema(files[0])) as writer:
        for file in files:
            writer.write_table(pa.Table.from_batches(pq.read_table(file).to_batches()))
