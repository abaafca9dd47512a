"""Random changes to good files, thousands of them for each parser, in processes that may crash or hang.

``python tests/fuzzing.py --mutations 10000 [--parser NAME] [--seed N]`` prints what came of them, and ends
with status 1 if a parser crashed, hung or raised something that is not ours. A change is made again
from its parser, seed and number alone: ``--parser NAME --seed N --number I --keep FILE`` writes it.
"""

import argparse
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

HANG = 10  # seconds for one input
MEGABYTES = 1536
FEW = 8  # changes to one input at most
INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 64, 100, 127, 128, 255, 256, 1024, 4096, 2**15, 2**16 - 1]
INTERESTING += [2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


class Parser(NamedTuple):
    """What is fuzzed: good files, pieces that mean something in them, and what opens one."""

    samples: Callable[[], list[bytes]]
    tokens: Sequence[bytes]
    open: Callable[[Path], object]
    suffix: str


# --- Changes


def flip_bits(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def set_bytes(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    for _ in range(rng.choice((1, 4))):
        content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def set_length(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    """Write an interesting number over a field, in either byte order."""
    size = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(content))
    number = rng.choice(INTERESTING) + rng.choice((-1, 0, 0, 1))
    content[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))


def add_to_length(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
    at = rng.randrange(len(content))
    number = int.from_bytes(content[at : at + size], order) + rng.choice((-16, -1, 1, 16))
    content[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, order)


def truncate(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    del content[rng.randrange(len(content)) :]


def remove(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 2, 8, 100))]


def repeat(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice((1, 2, 8, 100))]
    content[start:start] = piece * rng.choice((1, 2, 50))


def move(rng: random.Random, content: bytearray, _tokens, _other) -> None:
    start, to, size = rng.randrange(len(content)), rng.randrange(len(content)), rng.choice((4, 16, 256))
    content[to : to + size] = content[start : start + size]


def splice(rng: random.Random, content: bytearray, _tokens, other: bytes) -> None:
    content[rng.randrange(len(content)) :] = other[rng.randrange(len(other)) :]


def put_token(rng: random.Random, content: bytearray, tokens, _other) -> None:
    at, token = rng.randrange(len(content)), rng.choice(tokens)
    content[at : at + rng.choice((0, len(token)))] = token


def exchange_tokens(rng: random.Random, content: bytearray, tokens, _other) -> None:
    """Put one piece that means something in the place of another."""
    present = [token for token in tokens if token in content]
    if present:
        old = rng.choice(present)
        at = content.find(old, rng.randrange(len(content)))
        if at >= 0:
            content[at : at + len(old)] = rng.choice(tokens)


CHANGES = (flip_bits, set_bytes, set_length, add_to_length, truncate, remove, repeat, move, splice)
CHANGES += (put_token, exchange_tokens)


def mutation(name: str, seed: int, number: int, samples: list[bytes], tokens: Sequence[bytes]) -> bytes:
    """Return a changed sample, always the same for the same parser, seed and number."""
    rng = random.Random(f"{name}/{seed}/{number}")
    content = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 1, 2, 3, FEW))):
        if content:  # which the change before may have emptied
            rng.choice(CHANGES)(rng, content, tokens, rng.choice(samples))
    return bytes(content)


# --- The process that opens the changed files


def work(name: str, seed: int, first: int, last: int, folder: Path) -> None:
    """Open inputs one after the other; tell each before it is opened, and what came of it."""
    import fuzzed

    parser = fuzzed.PARSERS[name]
    samples = parser.samples()
    path = folder / f"a{parser.suffix}"
    for number in range(first, last):
        path.write_bytes(mutation(name, seed, number, samples, parser.tokens))
        print(f"{number}", end=" ", flush=True)
        print(json.dumps(outcome(parser, path)), flush=True)


def outcome(parser: Parser, path: Path) -> str:
    from caescope.errors import InputError

    try:
        parser.open(path)
    except InputError as error:
        whole = all(isinstance(part, str) and part for part in (error.must, error.received, error.advice))
        return "refused" if whole else "foreign an error without its three parts"
    except Exception as error:
        return f"foreign {type(error).__name__}: {error}"[:300]
    return "accepted"


def too_large(process: subprocess.Popen) -> bool:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    peak = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return bool(peak) and peak[0] > MEGABYTES * 1024


class Worker:
    """A process that opens inputs until it dies, and then another for the rest."""

    def __init__(self, name: str, seed: int, folder: Path):
        self.name, self.seed, self.folder = name, seed, folder

    def outcomes(self, first: int, last: int) -> dict[int, str]:
        found: dict[int, str] = {}
        while first < last:
            process = self._start(first, last)
            try:
                first = self._listen(process, first, found)
            finally:
                process.kill()
                process.communicate()
        return found

    def _start(self, first: int, last: int) -> subprocess.Popen:
        numbers = [str(number) for number in (self.seed, first, last)]
        command = [sys.executable, __file__, "--work", self.name, *numbers, str(self.folder)]
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)  # noqa: E731 - for the machine
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=limit,
            start_new_session=True,
        )

    def _listen(self, process: subprocess.Popen, first: int, found: dict[int, str]) -> int:
        """Note outcomes until the process ends or has to be ended; return the number to go on with."""
        assert process.stdout is not None
        handle, pending, number = process.stdout.fileno(), b"", first
        deadline = time.monotonic() + 60  # it has to start first
        while True:
            if not select.select([handle], [], [], max(0, deadline - time.monotonic()))[0]:
                found[number] = "hang"
                return number + 1
            content = os.read(handle, 65536)
            if not content:
                break
            deadline = time.monotonic() + HANG
            *lines, pending = (pending + content).split(b"\n")
            for line in lines:
                text, _, answer = line.partition(b" ")
                found[int(text)], number = json.loads(answer), int(text) + 1
            if lines and too_large(process):
                found[number - 1] = "crash of memory"
                return number
        status = process.wait()
        if status == 0:
            return 10**18
        found[number] = f"crash {signal.Signals(-status).name}" if status < 0 else f"crash status {status}"
        return number + 1


class Row(NamedTuple):
    """What came of one parser's inputs: how many of each kind, and those that must not be."""

    name: str
    counts: Counter
    bad: dict[int, str]
    seconds: float


def fuzz(name: str, mutations: int, seed: int = 0, first: int = 0) -> Row:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = Worker(name, seed, Path(folder)).outcomes(first, first + mutations)
    counts = Counter(answer.split()[0] for answer in found.values())
    bad = {number: answer for number, answer in found.items() if answer not in ("accepted", "refused")}
    return Row(name, counts, bad, time.monotonic() - start)


def print_rows(rows: list[Row], seed: int) -> None:
    kinds = ("accepted", "refused", "crash", "hang", "foreign")
    print("| parser | mutations | accepted | refused | crashes | hangs | foreign exceptions | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            row.name,
            sum(row.counts.values()),
            *(row.counts[kind] for kind in kinds),
            f"{row.seconds:.0f}",
        ]
        print(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells)} |")
    for row in rows:
        for number, answer in sorted(row.bad.items()):
            print(f"{row.name} --seed {seed} --number {number}: {answer}")


def main() -> int:
    import fuzzed

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mutations", type=int, default=10_000)
    options.add_argument("--parser", choices=fuzzed.PARSERS, action="append")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--number", type=int, help="write this input to the file given by --keep")
    options.add_argument("--keep", type=Path)
    chosen = options.parse_args()
    names = chosen.parser or [name for name in fuzzed.PARSERS if name not in fuzzed.BROKEN]
    if chosen.number is not None:
        parser = fuzzed.PARSERS[names[0]]
        content = mutation(names[0], chosen.seed, chosen.number, parser.samples(), parser.tokens)
        chosen.keep.write_bytes(content)
        return 0
    rows = []
    for name in names:
        rows.append(fuzz(name, chosen.mutations, chosen.seed))
        print_rows(rows[-1:], chosen.seed)
        sys.stdout.flush()
    if len(rows) > 1:
        print_rows(rows, chosen.seed)
    return 1 if any(row.bad for row in rows) else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["fuzzing"] = sys.modules["__main__"]
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], *map(int, sys.argv[3:6]), Path(sys.argv[6]))
    else:
        sys.exit(main())
