"""Files and folders take their places at once, also on systems other than this one."""

import ctypes
import errno
import os
import sys
from types import SimpleNamespace

import pytest

from caescope import writing
from caescope.errors import OutputError
from caescope.writing import move_into_place, put_back, sync


@pytest.fixture
def two(tmp_path):
    """An old folder and a new one beside it, each with a file of its name."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "new", tmp_path / "old"


class Library:
    """What exchanges two folders, by the function of one system, or says why not."""

    def __init__(self, function: str, code: int = 0):
        self.code, self.asked = code, ()
        setattr(self, function, self.exchange)

    def exchange(self, *arguments) -> int:
        self.asked = arguments
        ctypes.set_errno(self.code)
        return -1 if self.code else 0


def on(monkeypatch, platform: str, library) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)


def test_linux_and_macos_are_asked_for_an_exchange(two, monkeypatch):
    names = tuple(map(os.fsencode, two))
    for platform, library, asked in (
        ("linux", Library("renameat2"), (-100, names[0], -100, names[1], 2)),
        ("darwin", Library("renamex_np"), (*names, 2)),
    ):
        on(monkeypatch, platform, library)
        assert writing._exchange(*two)
        assert library.asked == asked


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_disk_that_exchanges_nothing_sets_the_old_folder_aside(two, monkeypatch, code):
    on(monkeypatch, "linux", Library("renameat2", code))
    move_into_place(*two)
    assert [(path.name, (path / "file").read_text()) for path in two[0].parent.iterdir()] == [("old", "new")]


def test_systems_that_exchange_nothing_say_so(two, monkeypatch):
    on(monkeypatch, "sunos5", SimpleNamespace())
    assert not writing._exchange(*two)
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        assert not writing._exchange(*two)


def test_a_disk_that_fails_leaves_both_folders(two, monkeypatch):
    on(monkeypatch, "linux", Library("renameat2", errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        move_into_place(*two)
    assert [(path / "file").read_text() for path in two] == ["new", "old"]


def test_the_old_folder_comes_back_where_the_new_one_cannot_come(two, monkeypatch):
    monkeypatch.setattr(writing, "_exchange", lambda *_: False)
    rename = os.rename

    def refuse_the_new(source, target):
        if source == two[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_the_new)
    with pytest.raises(OSError, match="No space left on device"):
        move_into_place(*two)
    assert [(path / "file").read_text() for path in two] == ["new", "old"]
    assert not writing._aside(two[1]).exists()


def test_what_was_set_aside_goes_where_the_new_folder_did_come(two):
    new, old = two
    old.rename(writing._aside(new))
    put_back(new)
    assert (new / "file").read_text() == "new"
    assert not writing._aside(new).exists()


def test_windows_opens_files_to_sync_them_and_no_folders(two, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        sync(str(two[0]))
        assert synced == []
        sync(str(two[0] / "file"))
    assert len(synced) == 1


def test_an_error_without_a_reason_is_named_by_its_kind(tmp_path):
    with (
        pytest.raises(OutputError, match=r"a\.txt \(TimeoutError\)\. Give a path that you may write to\."),
        writing.writing("a.txt"),
    ):
        raise TimeoutError
