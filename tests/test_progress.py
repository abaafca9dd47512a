"""What a long stage says of how far it is."""

from caescope import progress
from caescope.progress import Progress, Stages


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_how_far_a_stage_is_is_said_once_in_a_while(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    told = Progress(Stages("auto"), "encode", 5000, "images")
    told.add(1000)
    assert lines(capsys) == []
    now += progress.SECONDS_BETWEEN
    told.add(500)
    told.add(500)
    assert lines(capsys) == ["encode: 1,500 of 5,000 images"]
    now += progress.SECONDS_BETWEEN
    told.add(1)
    assert lines(capsys) == ["encode: 2,001 of 5,000 images"]


def test_a_stage_that_goes_on_says_where_at_once(capsys):
    Progress(Stages("auto"), "assign", 5, "parts", at=3)
    assert lines(capsys) == ["assign: goes on after 3 of 5 parts"]
