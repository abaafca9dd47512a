"""Runs that were interrupted, and folders that two would write."""

import os

import pytest
from click.testing import CliRunner

from caescope.callbacks import TensorBoard
from caescope.cli import main
from caescope.errors import OptionError, OutputError
from caescope.pipeline import fit, run
from caescope.staging import OutputFolder

pytestmark = pytest.mark.usefixtures("ctrl_c")


def test_two_runs_do_not_share_a_folder(tmp_path):
    folder = OutputFolder(tmp_path / "run")
    with folder.staged() as partial:
        with pytest.raises(
            OptionError, match=r"one process at a time\. Received .*run, which another process"
        ):
            run("digits", tmp_path / "run", epochs=1, verbose=0)
        (partial / "run.yaml").write_text("mine")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "run.yaml").read_text() == "mine"


@pytest.mark.parametrize("fails", [False, True])
def test_a_disk_that_cannot_exchange_folders(tmp_path, monkeypatch, fails):
    """The old folder is set aside for a moment; when the process dies then, the next one puts it back."""
    monkeypatch.setattr("caescope.writing._exchange", lambda *_: False)

    def write(text: str) -> None:
        with OutputFolder(tmp_path / "run", overwrite=True).staged() as partial:
            (partial / "run.yaml").write_text(text)

    write("old")
    if fails:
        (tmp_path / "run").rename(tmp_path / ".run.old")  # what a process leaves that was killed between both
        with pytest.raises(OptionError, match="which exists"), OutputFolder(tmp_path / "run").staged():
            pass
        assert (tmp_path / "run" / "run.yaml").read_text() == "old"
    write("new")
    assert (tmp_path / "run" / "run.yaml").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def stopped_with(path, *names: str) -> None:
    """Write files in folders of these names, and a file beside them, until Ctrl-C comes."""
    with OutputFolder(path).staged() as partial:
        for name in names:
            (partial / name).mkdir()
            (partial / name / "file").touch()
        (partial / "run.yaml").touch()
        raise KeyboardInterrupt


def test_what_is_not_gone_on_with_is_cleared_away(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        stopped_with(tmp_path / "run", "checkpoint", "logs", "figures")
    assert stop.value.__notes__ == ["What was done is kept: the same with --resume goes on from there."]
    with OutputFolder(tmp_path / "run", resume=True).staged() as partial:
        assert sorted(path.name for path in partial.iterdir()) == ["checkpoint", "logs"]
        (partial / "run.yaml").write_text("whole")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["logs", "run.yaml"]


def test_nothing_is_kept_of_what_was_stopped_before_its_first_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        stopped_with(tmp_path / "run", "logs", "figures")
    assert not hasattr(stop.value, "__notes__")
    assert not list(tmp_path.iterdir())


def test_an_error_about_what_is_read_does_not_name_the_output(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"input\.npy"),
        OutputFolder(tmp_path / "run").staged(),
    ):
        (tmp_path / "input.npy").read_bytes()
    with (
        pytest.raises(
            OutputError, match=r"must be writable\. Received .*run \(No such file or directory\)\."
        ),
        OutputFolder(tmp_path / "run").staged() as partial,
    ):
        (partial / "figures" / "a.png").touch()
    assert not list(tmp_path.iterdir())


def interrupt(patch, number: int, batches: int) -> None:
    """Send this process a signal after so many batches, while TensorBoard looks on."""
    look_on = TensorBoard.on_train_batch_end

    def look_on_and_interrupt(self, batch, logs=None):
        look_on(self, batch, logs)
        if self.n_batches == batches:
            os.kill(os.getpid(), number)

    patch.setattr(TensorBoard, "on_train_batch_end", look_on_and_interrupt)


@pytest.mark.parametrize(("number", "code", "name"), [(2, 130, "Ctrl-C"), (15, 143, "SIGTERM")])
def test_a_run_that_was_interrupted_goes_on(tmp_path, monkeypatch, number, code, name):
    command = ["run", "digits", "--epochs", "2", "--stability", "0", "--map", "pca", "--quiet"]
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert CliRunner().invoke(main, [*command, "--out", str(whole)]).exit_code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, number, 15)
        stopped = CliRunner().invoke(main, [*command, "--out", str(out)])
    assert stopped.exit_code == code
    assert f"caescope: Training was stopped by {name} in epoch 2, after " in stopped.stderr
    assert "the same with --resume goes on from there." in stopped.stderr
    assert not out.exists()
    refused = CliRunner().invoke(main, [*command, "--out", str(out)])
    assert "which was begun and not finished. Go on with it by --resume" in refused.stderr
    other = CliRunner().invoke(main, [*command, "--out", str(out), "--resume", "--batch-size", "64"])
    assert "batch_size 128 there and 64 here" in other.stderr
    resumed = CliRunner().invoke(main, [*command, "--out", str(out), "--resume"])
    assert resumed.exit_code == 0, resumed.stderr
    figures = [f"figures/{path.name}" for path in (whole / "figures").iterdir()]
    assert len(figures) > 10
    for part in ("latents.parquet", "model/encoder.h5", "model/decoder.h5", *figures):
        assert (out / part).read_bytes() == (whole / part).read_bytes(), part
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]
    assert not (out / "checkpoint").exists()
    before = (out / "run.yaml").stat().st_mtime_ns
    again = CliRunner().invoke(main, [*command, "--out", str(out), "--resume"])
    assert again.exit_code == 0
    assert (out / "run.yaml").stat().st_mtime_ns == before
    differs = CliRunner().invoke(main, [*command, "--out", str(out), "--resume", "--clusters", "9"])
    assert differs.exit_code == 1
    assert "with clusters 20 there and 9 here" in differs.stderr


def test_a_model_that_is_whole_is_not_trained_again(tmp_path):
    fit("digits", tmp_path / "model", epochs=1, verbose=0)
    before = (tmp_path / "model" / "encoder.h5").read_bytes()
    again = fit("digits", tmp_path / "model", epochs=1, verbose=0, resume=True)
    assert again.encoder.output_shape == (20,)
    assert (tmp_path / "model" / "encoder.h5").read_bytes() == before
    with pytest.raises(OptionError, match="which exists"):
        fit("digits", tmp_path / "model", epochs=1, verbose=0, resume=True, latent_features=3)
