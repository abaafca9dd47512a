"""Several processes that train one model together say what one alone says."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import together
from caescope.errors import OptionError
from caescope.model.objectives.invariant import compare_views, covariance_of
from caescope.model.share import Share, whole
from caescope.model.team import Team

CLOSE = 1e-5  # of weights and losses, after every step
NAMES = [*together.CASES, "early", "stop"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> tuple[Path, Path]:
    """Run all cases in one process and in two; return the folders of what came out."""
    folders = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("two")
    for folder, size in zip(folders, (1, 2), strict=True):
        strict = ["-W", "error", "-W", "ignore::UserWarning"]  # four latents of noise may collapse
        command = [sys.executable, *strict, together.__file__, "all"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen(
                [*command, str(rank), str(size), str(folder)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(size)
        ]
        said = [process.communicate(timeout=300)[0] for process in processes]
        assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return folders


def read(folder: Path, name: str, rank: int = 0) -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.{rank}.npz") as file:
        return {key: file[key] for key in file}


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_say_what_one_says_after_every_step(outcomes, name):
    alone, first, second = read(outcomes[0], name), read(outcomes[1], name), read(outcomes[1], name, 1)
    assert alone.keys() == first.keys()
    for key, values in alone.items():
        assert values.shape == first[key].shape, key
        np.testing.assert_allclose(first[key], values, rtol=0, atol=CLOSE, err_msg=key)
    np.testing.assert_array_equal(first["weights"], second["weights"])
    assert not second["steps"].size  # callbacks are the first one's alone


def test_a_team_that_was_stopped_goes_on_where_it_was(outcomes):
    undisturbed, stopped = read(outcomes[1], "plain"), read(outcomes[1], "stopped")
    np.testing.assert_array_equal(stopped["weights"], undisturbed["weights"])
    np.testing.assert_array_equal(stopped["history loss"], undisturbed["history loss"])
    np.testing.assert_array_equal(read(outcomes[1], "stopped", 1)["weights"], undisturbed["weights"])


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(("n_images", "batch"), [(45, 22), (44, 22), (3, 5), (11, 5)])
def test_every_image_of_an_epoch_is_learned_by_one_process(size, n_images, batch):
    order = torch.randperm(n_images, generator=torch.Generator().manual_seed(1))
    learned = []
    for rank in range(size):
        team = Team(rank, size)
        shares = team.shares(n_images, batch)
        rows = team.order(order, shares, batch)
        for share in shares:
            n_here = share.rows.stop - share.rows.start
            here, rows = rows[:n_here], rows[n_here:]
            assert 1 <= len(here) <= team.most(share.n_all)
            learned += here.tolist() if share.n_own else []
        assert not len(rows)
    assert sorted(learned) == list(range(n_images))


def test_weights_of_shares_make_a_mean():
    for n_images in (1, 2, 7, 22):
        shares = [Team(rank, 3).share(n_images) for rank in range(3)]
        assert sum(share.n_own for share in shares) == n_images
        assert sum(share.scale(share.n_own) for share in shares) == pytest.approx(3)


def test_a_batch_must_have_an_image_for_each():
    Team(0, 4).demand_enough(4)
    with pytest.raises(OptionError, match="batch_size must be at least the number of workers"):
        Team(0, 4).demand_enough(3)


def test_covariances_are_those_of_numpy():
    latents = torch.randn(50, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 3 + 7
    expected = np.cov(latents.numpy().T)
    np.testing.assert_allclose(covariance_of(latents, whole(50)), expected, rtol=1e-12)


def test_views_that_are_the_images_agree():
    latents = torch.randn(32, 4, generator=torch.Generator().manual_seed(2))
    agreement, regularity = compare_views(latents, latents, Share(slice(0, 32), 32, 32))
    assert agreement == 0
    assert regularity > 0
