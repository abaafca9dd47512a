"""What the recipe chooses for images at hand, and that it never looks at a label."""

import numpy as np
import pytest
from click.testing import CliRunner

from caescope import CAE
from caescope.cli import main
from caescope.data import ArraySource
from caescope.errors import OptionError
from caescope.pipeline import fit, run
from caescope.recipes import best
from caescope.run_options import parse_run_options

pytestmark = pytest.mark.usefixtures("undrawn")

PINK, BLUE_SKY = (230, 150, 200), (120, 170, 230)


def of_colour(colour, n: int = 40, size: int = 8, **known) -> ArraySource:
    noise = np.random.default_rng(0).integers(-20, 20, (n, size, size, 3))
    return ArraySource((np.array(colour) + noise).clip(0, 255).astype(np.uint8), **known)


def test_stained_tissue_is_told_from_scenes_by_its_colours():
    assert best(of_colour(PINK), 30).options["views"] == "histology"
    found = best(of_colour(BLUE_SKY), 30)
    assert found.options["views"] == "natural"
    assert "0%" in found.reasons["views"]


def test_glass_around_tissue_does_not_count():
    images = of_colour(PINK).read(slice(None)).copy()
    images[:, :6] = 255
    assert best(ArraySource(images), 30).options["views"] == "histology"


def test_tiles_of_slides_are_histology_whatever_their_colour():
    tiles = of_colour(BLUE_SKY, columns={"mpp": np.full(40, 0.5)})
    assert best(tiles, 30).options["views"] == "histology"


def test_grey_images_are_never_mirrored():
    grey = ArraySource(np.zeros((10, 8, 8, 1), np.uint8))
    assert best(grey, 8).options["views"] == "digits"


@pytest.mark.parametrize(
    ("size", "latents", "architecture"),
    [(8, 20, "plain"), (28, 20, "plain"), (64, 64, "residual"), (224, 64, "residual")],
)
def test_latents_and_architecture_follow_the_size_of_images(size, latents, architecture):
    options = best(of_colour(PINK, n=4, size=size), 4).options
    assert (options["latent_features"], options["architecture"]) == (latents, architecture)


@pytest.mark.parametrize("n_training", [3, 100, 1000, 50_000, 10**8])
def test_a_training_has_many_steps_and_enough_images_in_each(n_training):
    options = best(of_colour(PINK), n_training).options
    steps = options["epochs"] * -(-n_training // options["batch_size"])
    assert 16 <= options["batch_size"] <= 256
    assert steps >= 1500
    assert options["epochs"] >= 1


def test_every_choice_has_its_reason():
    found = best(of_colour(PINK), 30)
    assert found.reasons.keys() == found.options.keys()
    parse_run_options(found.options)


def test_what_is_given_is_not_chosen():
    found = best(of_colour(PINK), 30).without({"latent_features": 7, "seed": 1})
    assert "latent_features" not in found.options
    assert "latent_features" not in found.reasons
    assert "objective" in found.options


@pytest.mark.parametrize("objective", ["reconstruction", "denoising", "invariant", "variational"])
def test_an_objective_that_is_given_goes_with_what_is_chosen(objective):
    grey = ArraySource(np.zeros((10, 8, 8, 1), np.uint8))
    given = {"objective": objective}
    options = best(grey, 8).without(given).options
    assert ("objective_weight" in options) == ("views" in options) == (objective == "invariant")
    CAE(
        (8, 8, 1),
        3,
        [4],
        **given,
        **{name: options[name] for name in options.keys() & {"objective_weight", "views"}},
    )


def test_unknown_recipes_are_refused():
    with pytest.raises(OptionError, match="recipe must be one of best"):
        parse_run_options({"recipe": "good"})


def test_a_run_by_recipe_writes_what_was_chosen_and_why(tmp_path, rng):
    images = rng.random((60, 8, 8, 1), dtype=np.float32)
    labels = np.repeat(["a", "b", "c"], 20)
    given = {"recipe": "best", "epochs": 2, "latent_features": 3, "clusters": 3, "stability": 0, "verbose": 0}
    given |= {"map": "pca"}
    result = run(images, tmp_path / "run", labels=labels, refine=3, **given)
    options, chosen = result.facts["options"], result.facts["chosen"]
    assert options["objective"] == "invariant"
    assert options["views"] == "digits"
    assert options["latent_features"] == 3
    assert "latent_features" not in chosen
    assert "mirrored" in chosen["views"]
    refinement = result.metrics["refinement"]
    assert refinement["k"] == 3
    assert set(refinement["before"]) == set(refinement["after"]) == {"silhouette", "matched"}
    shuffled = run(images, tmp_path / "again", labels=labels[rng.permutation(60)], refine=3, **given)
    same = [(folder.path / "model" / "encoder.h5").read_bytes() for folder in (result, shuffled)]
    assert same[0] == same[1]


def test_a_model_that_is_only_fitted_heeds_the_recipe_too(tmp_path, rng, capsys):
    images = rng.random((60, 8, 8, 1), dtype=np.float32)
    cae = fit(images, tmp_path / "model", recipe="best", epochs=2, latent_features=3, verbose="auto")
    options = cae.options
    assert (options.objective, options.architecture, options.latent_features) == ("invariant", "plain", 3)
    said = capsys.readouterr().err
    assert "views=digits: grey images" in said
    assert "latent_features=" not in said
    assert "map=" not in said  # which a model has none of


def test_fitting_from_the_shell_heeds_the_recipe_too(tmp_path):
    options = ["--recipe", "best", "--epochs", "1", "--latent-features", "3", "--refine", "4", "--quiet"]
    result = CliRunner().invoke(main, ["fit", "digits", "--out", str(tmp_path / "model"), *options])
    assert result.exit_code == 0, result.output
    model = CAE(path=tmp_path / "model", load=True).options
    assert (model.objective, model.architecture, model.latent_features) == ("invariant", "plain", 3)
