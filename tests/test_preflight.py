"""What is estimated before a job is near what it takes, and a warning names both numbers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from caescope import CAE, pipeline, preflight, room
from caescope.data import ArraySource, find_source
from caescope.preflight import GIB, Need, estimate_encode, estimate_fit, estimate_run, warn_if_too_large
from caescope.room import available_disk, available_memory
from caescope.run_options import RunOptions

SPLIT = ["train"] * 800 + ["validation"] * 100 + ["test"] * 100


def source(n=1000, shape=(64, 64, 3), dtype=np.uint8, **known):
    return ArraySource(np.zeros((n, *shape), dtype), split=SPLIT * (n // 1000), **known)


def resolved(images, **options):
    return RunOptions(epochs=1, device="cpu", **options).resolve(images.shape, 800)


def stored(tmp_path, n=1000, shape=(64, 64, 3)):
    np.save(tmp_path / "images.npy", np.zeros((n, *shape), np.uint8))
    return find_source(tmp_path / "images.npy")


def test_images_in_memory_are_held_and_their_splits_are_copies():
    few, many = source(1000), source(4000)
    options = resolved(few, batch_size=64)
    texts = [2 * (images.ids.nbytes + images.split.nbytes) for images in (few, many)]
    more = estimate_fit(many, options).memory - estimate_fit(few, options).memory
    assert more == 3000 * 64 * 64 * 3 * 1.9 + texts[1] - texts[0]


def test_images_of_floats_take_four_times_as_much():
    images, floats = source(), source(dtype=np.float32)
    more = estimate_fit(floats, resolved(images)).memory - estimate_fit(images, resolved(images)).memory
    assert more == 1000 * 64 * 64 * 3 * 1.9 * 3


def test_images_in_a_file_are_read_a_few_batches_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "count_cores", lambda: 2)
    images = source()
    streamed = CAE((64, 64, 3), 20, [8, 16], device="cpu"), stored(tmp_path)
    in_memory = streamed[0], source()
    assert estimate_encode(*in_memory).memory - estimate_encode(*streamed).memory >= 1000 * 64 * 64 * 3
    assert estimate_encode(*in_memory).disk == estimate_encode(*streamed).disk
    options = resolved(images, batch_size=8)
    file = replace(streamed[1], split=SPLIT)
    saved = estimate_fit(images, options).memory - estimate_fit(file, options).memory
    texts = 2 * (images.ids.nbytes - file.ids.nbytes)  # as many, but made with room for longer ones
    assert saved == 64 * 64 * 3 * (1900 - 2 * 2 * 8) + texts


def test_each_weight_is_held_eleven_times_and_written_eight_times():
    images = source()
    needs = [estimate_fit(images, resolved(images, latent_features=k)) for k in (100, 1100)]
    weights = [CAE((64, 64, 3), k, [8, 16, 32], device="cpu").model.count_params() for k in (100, 1100)]
    assert needs[1].memory - needs[0].memory == 4 * 11 * (weights[1] - weights[0])
    assert needs[1].disk - needs[0].disk == 4 * 8 * (weights[1] - weights[0])


def test_latents_lie_on_the_disk_twice_while_they_are_joined():
    cae = CAE((64, 64, 3), 20, [8, 16], device="cpu")
    numbers = (
        20 + 1 + 3
    )  # latents, error, mean colours; an id has its length beside it, and 2.89 letters on average
    assert estimate_encode(cae, source()).disk == int(2 * 1000 * (1.4 * 4 * numbers + 2.89 + 4))
    labelled = source(labels=np.arange(1000), columns={"slide": ["s"] * 1000})
    assert estimate_encode(cae, labelled).disk - estimate_encode(cae, source()).disk == 2 * 1000 * 8 * 2


def test_the_graph_of_tsne_grows_with_train_images_and_perplexity():
    options, images = resolved(source()), source(20_000, (2, 2, 1))
    graph = [
        estimate_run(images, RunOptions(**options.as_dict() | {"perplexity": p, "filters": (8,)})).memory
        for p in (40, 140)
    ]
    assert graph[1] - graph[0] == 16_000 * 3 * 100 * 66


def test_logs_grow_with_epochs_and_only_where_they_are_asked_for(tmp_path):
    images = source()
    once, often = (RunOptions(epochs=n, device="cpu").resolve(images.shape, 800) for n in (10, 1010))
    kernels = 2 * 9 * (3 * 8 + 8 * 16 + 16 * 32)
    grown = estimate_fit(images, often, tmp_path).disk - estimate_fit(images, once, tmp_path).disk
    assert grown == pytest.approx(1000 * (7.4 * kernels + 6 * 64 * 64 * 3), abs=1)
    assert estimate_fit(images, often).disk == estimate_fit(images, once).disk


def test_a_gpu_has_pictures_in_its_own_memory(monkeypatch):
    images = source()
    on_cpu = estimate_fit(images, resolved(images)).memory
    monkeypatch.setattr(preflight._Job, "largest", lambda _job: 0)
    largest = 64 * 64 * 8 * 4
    assert on_cpu - estimate_fit(images, resolved(images)).memory == (5 * 128 + 2 * 100) * largest


@pytest.fixture
def machine(monkeypatch):
    """A machine of 8 GiB of memory and 2 GiB of disk space."""
    monkeypatch.setattr(preflight, "available_memory", lambda: 8 * GIB)
    monkeypatch.setattr(preflight, "available_disk", lambda _folder: 2 * GIB)


def test_what_fits_is_no_reason_to_warn(machine):
    warn_if_too_large(Need(8 * GIB, 2 * GIB), Path("runs"))


def test_too_little_memory_is_named_with_both_numbers(machine):
    with pytest.warns(UserWarning, match=r"needs about 41\.2 GiB of memory, .* can have 8\.0 GiB: use"):
        warn_if_too_large(Need(int(41.2 * GIB), GIB), Path("runs"))


def test_too_little_disk_space_is_named_with_both_numbers(machine):
    sentence = r"This encoding needs about 2\.5 GiB of disk space, and 2\.0 GiB are free for runs: free"
    with pytest.warns(UserWarning, match=sentence) as caught:
        warn_if_too_large(Need(GIB, int(2.5 * GIB)), Path("runs"), "This encoding")
    assert len(caught) == 1


def test_memory_that_nobody_can_tell_is_no_reason_to_warn(machine, monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: None)
    warn_if_too_large(Need(10**15, GIB), Path("runs"))


STATUS = "Name:\tpython\nVmSize:\t 4194304 kB\nVmRSS:\t  524288 kB\n"
MEMINFO = "MemTotal: 33554432 kB\nMemFree: 1048576 kB\nMemAvailable: 16777216 kB\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Write the kernel's files by name; the process holds 0.5 GiB and 16 GiB are free."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(proc__meminfo=MEMINFO, proc__self__status=STATUS)
    monkeypatch.setattr(room, "PROC", tmp_path / "proc")
    monkeypatch.setattr(room, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(room, "_free_addresses", lambda: None)
    return write


def group(limit, used, cached=0, version=2, within=""):
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    place = "groups__" + ("memory__" if version == 1 else "") + within
    stat = f"anon 1\n{names[2]} {cached}\nactive_file 5\n"
    return {
        f"{place}{names[0]}": f"{limit}\n",
        f"{place}{names[1]}": f"{used}\n",
        f"{place}memory.stat": stat,
    }


def test_a_machine_without_limits_gives_what_is_free_beside_what_is_held(system):
    assert available_memory() == 16.5 * GIB


def test_a_group_without_a_limit_limits_nothing(system):
    system(proc__self__cgroup="0::/job\n", **group("max", 3 * GIB, within="job__"))
    assert available_memory() == 16.5 * GIB


@pytest.mark.parametrize(("version", "line"), [(2, "0::/job\n"), (1, "5:cpu:/x\n4:memory:/job\n0::/\n")])
def test_a_group_leaves_what_is_not_used_or_only_caches_files(system, version, line):
    system(proc__self__cgroup=line, **group(4 * GIB, 3 * GIB, GIB, version, "job__"))
    assert available_memory() == 2.5 * GIB


def test_the_tightest_of_the_groups_around_one_another_counts(system):
    system(proc__self__cgroup="0::/a/b\n", **group(9 * GIB, GIB, within="a__b__"))
    system(**group(3 * GIB, GIB, within="a__"))
    assert available_memory() == 2.5 * GIB


def test_in_a_container_the_group_is_where_all_are_mounted(system):
    system(proc__self__cgroup="4:cpu,memory:/docker/0123\n", **group(4 * GIB, GIB, version=1))
    assert available_memory() == 3.5 * GIB


def test_a_group_above_its_limit_leaves_what_is_held(system):
    system(proc__self__cgroup="0::/\n", **group(GIB, 2 * GIB))
    assert available_memory() == GIB / 2


def test_where_the_kernel_has_no_such_files_the_whole_memory_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "PROC", tmp_path)
    monkeypatch.setattr(room, "CGROUPS", tmp_path)
    monkeypatch.setattr(room, "_free_addresses", lambda: None)
    monkeypatch.setattr(room.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    assert available_memory() == 4_096_000
    monkeypatch.delattr(room.os, "sysconf")
    assert available_memory() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits addresses")
def test_a_limit_of_addresses_counts():
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32));"
        "from caescope.room import available_memory; print(available_memory())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 2**30 < int(found.stdout) <= 2**32


def test_a_folder_that_is_not_there_has_the_space_of_the_disk_that_it_will_be_on(tmp_path, monkeypatch):
    asked = []

    def usage(place):
        asked.append(place)
        return SimpleNamespace(free=7)

    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    (tmp_path / "file").write_text("")
    assert available_disk(tmp_path / "not" / "there") == available_disk(tmp_path / "file") == 7
    assert asked == [tmp_path, tmp_path]


ENCODE = """
import json, sys
from pathlib import Path
from caescope import CAE, pipeline
from caescope.data import find_source
from caescope.preflight import estimate_encode

folder = Path(sys.argv[1])
CAE((64, 64, 3), 20, [8, 16, 32], seed=0, device="cpu").save(folder / "model")
images = find_source(folder / "images.npy")
need = estimate_encode(CAE(path=folder / "model", load=True, device="cpu"), images)
file = pipeline.encode(folder / "model", folder / "images.npy", folder / "z.parquet", verbose=0, device="cpu")
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([need.memory, peak * 1024, need.disk, 2 * file.stat().st_size]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak as it is measured here")
def test_an_encoding_takes_about_what_is_estimated(tmp_path, rng):
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (2000, 64, 64, 3), np.uint8))
    command = [sys.executable, "-c", ENCODE, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, held, disk, written = json.loads(found.stdout)
    assert 0.5 < memory / held < 2
    assert 0.8 < disk / written < 1.25


def test_a_run_writes_about_what_is_estimated(tmp_path):
    images = find_source("digits").read(slice(None))
    split = (["train"] * 8 + ["validation", "test"]) * 100
    digits = ArraySource(images[:1000], split=split)
    need = estimate_run(digits, resolved(digits, stability=0, map="pca"))
    run = pipeline.run(digits, tmp_path / "run", verbose=0, epochs=1, stability=0, map="pca", device="cpu")
    written = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    assert 0.5 < need.disk / written < 2
