from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from caescope.errors import OptionError
from caescope.views import PRESETS, Views, name_of, parse_views
from caescope.views.colour import STAINS, YIQ
from caescope.views.strengths import MOST, OUTSIDE

STRENGTHS = [field.name for field in fields(Views) if field.type is float]
SWITCHES = [field.name for field in fields(Views) if field.type is bool]
LUMA = YIQ[0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(n=4, height=12, width=12, channels=3, least=0.0, most=1.0):
    return torch.rand((n, height, width, channels), generator=seeded(9)) * (most - least) + least


def views_of(images, seed=0, **strengths):
    return Views(**strengths)(images, seeded(seed))


def centres_of(images):
    """Centre of mass along x and y, as shares of the sides."""
    _, height, width, _ = images.shape
    mass = images[..., 0].double()
    x = (mass.sum(1) * (torch.arange(width) + 0.5)).sum(1) / mass.sum((1, 2)) / width
    y = (mass.sum(2) * (torch.arange(height) + 0.5)).sum(1) / mass.sum((1, 2)) / height
    return torch.stack([x, y], dim=1)


def ramps(n, side):
    """Images that say of each place where it is: red along x, green along y, from 0 to 1."""
    along = (torch.arange(side) + 0.5) / side
    ramp = torch.stack([along.expand(side, side), along[:, None].expand(side, side), torch.zeros(side, side)])
    return ramp.permute(1, 2, 0).expand(n, side, side, 3)


# What holds for all of them


@pytest.mark.parametrize("channels", [1, 3])
def test_views_without_strengths_change_nothing(channels):
    images = images_of(channels=channels)
    views = views_of(images)
    assert torch.equal(views, images)
    assert views.data_ptr() != images.data_ptr()


@settings(max_examples=60, deadline=None)
@given(
    preset=st.sampled_from(list(PRESETS)),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    seed=st.integers(0, 2**32 - 1),
)
def test_views_are_images_like_those_they_are_of(preset, shape, seed):
    images = images_of(*shape)
    before = images.clone()
    views = parse_views(preset, shape[3])(images, seeded(seed))
    assert (views.shape, views.dtype) == (images.shape, torch.float32)
    assert ((views >= 0) & (views <= 1)).all()
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", [*STRENGTHS, *SWITCHES])
def test_every_strength_changes_something_and_the_seed_alone_says_what(name):
    images = images_of(8)
    strength = {"turn": 40}.get(name, 0.3) if name in STRENGTHS else True
    first, again, other = (views_of(images, seed, **{name: strength}) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)


def test_the_random_state_of_pytorch_is_neither_asked_nor_changed():
    before = torch.random.get_rng_state()
    first = PRESETS["histology"](images_of(), seeded())
    noisy = PRESETS["noise"](images_of(), seeded())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(77)
    assert torch.equal(PRESETS["histology"](images_of(), seeded()), first)
    assert torch.equal(PRESETS["noise"](images_of(), seeded()), noisy)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_each_image_of_a_batch_is_distorted_in_its_own_way(preset):
    views = PRESETS[preset](images_of(1).expand(16, -1, -1, -1), seeded())
    assert len({view.numpy().tobytes() for view in views}) == 16


@pytest.mark.parametrize("preset", ["digits", "natural", "histology"])
def test_a_view_depends_on_its_own_image_alone(preset):
    images = images_of(6)
    changed = images.clone()
    changed[4] = 1 - changed[4]
    same = [
        torch.equal(a, b)
        for a, b in zip(*(PRESETS[preset](x, seeded()) for x in (images, changed)), strict=True)
    ]
    assert same == [True] * 4 + [False, True]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_how_images_lie_in_memory_does_not_matter(preset):
    images = images_of(3, 10, 8)
    turned = images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    views, again = (PRESETS[preset](x, seeded()) for x in (images, turned))
    assert torch.allclose(views, again, atol=1e-6)


def test_gradients_stop_at_views():
    images = images_of().requires_grad_()
    assert not PRESETS["natural"](images, seeded()).requires_grad


# Geometry


def test_a_flip_mirrors_half_of_the_images_exactly():
    images = images_of(40, 5, 7)
    for name, axis in (("flip", 1), ("flip_vertical", 0)):
        flipped = [
            torch.equal(view, image.flip(axis))
            for view, image in zip(views_of(images, **{name: True}), images, strict=True)
            if not torch.equal(view, image)
        ]
        assert all(flipped)
        assert 10 < len(flipped) < 30


def test_quarter_turns_are_exact_and_all_four_come():
    images = images_of(80, 6, 6)
    seen = [0] * 4
    for view, image in zip(views_of(images, quarter_turns=True), images, strict=True):
        turned = [torch.equal(view, torch.rot90(image, quarters)) for quarters in range(4)]
        assert sum(turned) == 1
        seen[turned.index(True)] += 1
    assert min(seen) > 8


def test_images_that_are_not_square_are_turned_by_halves():
    images = images_of(40, 4, 7)
    halves = 0
    for view, image in zip(views_of(images, quarter_turns=True), images, strict=True):
        half = torch.equal(view, image.flip(0, 1))
        assert half or torch.equal(view, image)
        halves += half
    assert 10 < halves < 30


def test_a_shift_moves_the_centre_of_mass_by_at_most_its_share():
    images = torch.zeros(200, 20, 40, 1)
    images[:, 8:12, 16:24] = 1
    moved = centres_of(views_of(images, shift=0.2)) - 0.5
    assert moved.abs().max() <= 0.2 + 1e-6
    assert moved.abs().amax(0).min() > 0.18
    assert moved.mean(0).abs().max() < 0.03


def test_a_turn_keeps_lengths_in_pixels_also_where_images_are_not_square():
    images = torch.zeros(100, 30, 60, 1)
    images[:, 15, 20:40] = 1  # a line of 20 pixels along x
    views = views_of(images, turn=90, outside="zeros")[..., 0]
    rows = torch.arange(30.0)[:, None] - 15
    columns = torch.arange(60.0) - 29.5
    mass = views.sum((1, 2))
    x2, y2 = ((views * place**2).sum((1, 2)) / mass for place in (columns, rows))
    assert torch.allclose(x2 + y2, torch.tensor((20**2 - 1) / 12), rtol=0.05)
    assert y2.max() > 30  # some stand nearly upright


def test_a_turn_keeps_its_range():
    images = ramps(300, 32)
    views = views_of(images, turn=30)
    x = views[:, 12:20, 12:20, 0]
    angle = torch.rad2deg(torch.atan2((x[:, -1] - x[:, 0]).mean(1), (x[:, :, -1] - x[:, :, 0]).mean(1)))
    assert angle.abs().max() <= 30.1
    assert angle.max() > 28
    assert angle.min() < -28
    assert abs(angle.mean()) < 3


def test_scale_stretches_each_axis_by_a_factor_within_its_range():
    views = views_of(ramps(300, 32), scale=0.4)[:, 12:20, 12:20, :2]
    x = (views[:, :, -1, 0] - views[:, :, 0, 0]).mean(1) * 32 / 7
    y = (views[:, -1, :, 1] - views[:, 0, :, 1]).mean(1) * 32 / 7
    factors = 1 / torch.stack([x, y])
    assert factors.min() >= 0.6 - 1e-3
    assert factors.max() <= 1.4 + 1e-3
    assert (factors.amin(1) < 0.65).all()
    assert (factors.amax(1) > 1.35).all()
    assert abs(np.corrcoef(factors.numpy())[0, 1]) < 0.2


def test_shear_leans_and_keeps_rows():
    views = views_of(ramps(200, 32), shear=0.3)[:, 12:20, 12:20]
    lean = (views[:, -1, :, 0] - views[:, 0, :, 0]).mean(1) * 32 / 7
    assert lean.abs().max() <= 0.3 + 1e-3
    assert lean.max() > 0.27
    assert lean.min() < -0.27
    assert torch.allclose(views[..., 1], ramps(200, 32)[:, 12:20, 12:20, 1], atol=1e-5)


def test_a_crop_shows_a_part_of_the_least_size_that_is_asked_for():
    views = views_of(ramps(400, 32), crop=0.5, outside="border")[
        :, 1:-1, 1:-1, :2
    ]  # without the last half pixel
    first, last = views[:, 0, 0], views[:, -1, -1]
    sides = (last - first) * 32 / 29
    assert torch.allclose(sides[:, 0], sides[:, 1], atol=1e-4)
    assert sides.min() >= 0.5 - 1e-4
    assert sides.min() < 0.53
    assert sides.max() > 0.97
    assert first.min() < 0.05  # some parts begin at the edge, and none reaches beyond
    assert last.max() > 0.95
    assert ((first >= 0) & (last <= 1)).all()


def test_elastic_displacements_have_their_strength_at_the_nodes_and_less_between():
    side, strength = 31, 0.03  # nodes lie on pixels 0, 10, 20 and 30
    displacement = (views_of(ramps(2000, side), elastic=strength) - ramps(2000, side))[..., :2]
    spread = displacement.std(0)
    assert spread[10, 20].numpy() == pytest.approx(strength, rel=0.06)
    assert 0.5 * strength < spread[5, 15].mean() < 0.8 * strength
    assert displacement[:, 10, 10].mean(0).abs().max() < 0.003
    steps = (displacement[:, 1:] - displacement[:, :-1])[:, 5:-5, 5:-5]
    assert steps.std() < strength / 4  # smooth


@pytest.mark.parametrize(("outside", "corner"), [("zeros", 0.0), ("border", 1.0), ("reflection", 1.0)])
def test_outside_of_the_image_lies_what_is_asked_for(outside, corner):
    views = views_of(torch.ones(30, 9, 9, 1), turn=45, shift=0.3, outside=outside)
    assert views.amin((1, 2, 3)).max() == corner


# Colour


def test_brightness_multiplies():
    images = images_of(100, most=0.5)
    ratios = (views_of(images, brightness=0.4) / images).flatten(1)
    assert torch.allclose(ratios, ratios[:, :1].expand_as(ratios), rtol=1e-3)
    assert 0.6 <= ratios.min() < 0.65
    assert 1.35 < ratios.max() <= 1.4001


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_keeps_the_mean_luma_and_multiplies_the_spread(channels):
    images = images_of(100, channels=channels, least=0.4, most=0.6)
    views = views_of(images, contrast=0.5)
    weights = LUMA if channels == 3 else torch.ones(1)
    assert torch.allclose((views @ weights).mean((1, 2)), (images @ weights).mean((1, 2)), atol=1e-5)
    factors = views.std((1, 2)) / images.std((1, 2))
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), rtol=1e-3)
    assert 0.5 <= factors.min() < 0.55
    assert 1.45 < factors.max() < 1.501


def test_gamma_keeps_black_and_white_and_is_a_power():
    images = torch.tensor([0, 0.25, 0.5, 1]).reshape(1, 1, 4, 1).expand(300, -1, -1, -1)
    black, quarter, half, white = views_of(images, gamma=1).flatten(1).T
    assert (black == 0).all()
    assert (white == 1).all()
    assert torch.allclose(quarter, half**2, atol=1e-6)
    exponents = -half.log2()
    assert 0.5 <= exponents.min() < 0.52
    assert 1.95 < exponents.max() <= 2.0001
    assert abs(exponents.log2().mean()) < 0.1


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_greys_have_no_chroma_and_stay(name):
    greys = images_of(10, channels=1).expand(-1, -1, -1, 3)
    assert torch.allclose(views_of(greys, **{name: 0.5}), greys, atol=1e-6)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_luma_stays(name):
    images = images_of(50, least=0.45, most=0.55)
    views = views_of(images, **{name: 0.5})
    assert torch.allclose(views @ LUMA, images @ LUMA, atol=1e-5)
    assert (views - images).abs().amax((1, 2, 3)).min() > 1e-4


def test_saturation_multiplies_the_distance_from_luma():
    images = images_of(200, least=0.4, most=0.6)
    apart, before = (x - (x @ LUMA)[..., None] for x in (views_of(images, saturation=1), images))
    factors = (apart * before).sum((1, 2, 3)) / (before**2).sum((1, 2, 3))
    assert torch.allclose(apart, factors[:, None, None, None] * before, atol=1e-5)
    assert 0 <= factors.min() < 0.02  # which is grey
    assert 1.97 < factors.max() <= 2.0001


def test_hue_turns_chroma_by_a_share_of_the_circle():
    images = images_of(200, least=0.4, most=0.6)
    after, before = (
        torch.view_as_complex((x @ YIQ[1:].T).contiguous()) for x in (views_of(images, hue=0.25), images)
    )
    turns = (after / before).flatten(1)
    assert torch.allclose(turns.abs(), torch.ones(()), atol=2e-2)
    share = turns.mean(1).angle() / (2 * torch.pi)
    assert 0.24 < share.max() <= 0.2501
    assert -0.2501 <= share.min() < -0.24


def test_brightness_contrast_saturation_and_hue_in_one_step_are_all_of_them_one_by_one():
    """The numbers are drawn in this order, so the same seed gives the same ones."""
    images = images_of(20, least=0.4, most=0.6)
    together = views_of(images, brightness=0.2, contrast=0.3, saturation=0.4, hue=0.1)
    generator = seeded()
    brightness, contrast, saturation, angle = (
        (torch.rand(20, generator=generator) * 2 - 1)[:, None, None, None] * s + m
        for s, m in ((0.2, 1), (0.3, 1), (0.4, 1), (0.2 * np.pi, 0))
    )
    luma = (images @ LUMA)[..., None]
    i, q = ((images @ YIQ[k])[..., None] for k in (1, 2))
    i, q = i * angle.cos() - q * angle.sin(), i * angle.sin() + q * angle.cos()
    plain = torch.cat([luma, saturation * i, saturation * q], dim=3) @ torch.linalg.inv(YIQ).T
    plain = brightness * plain
    mean = (plain @ LUMA).mean((1, 2))[:, None, None, None]
    assert torch.allclose(together, mean + contrast * (plain - mean), atol=1e-5)


def test_stain_leaves_white_and_changes_hematoxylin_and_eosin_alone():
    amounts = torch.rand((30, 6, 6, 3), generator=seeded(1)) * 0.4 + 0.3
    images = torch.exp(-amounts @ STAINS)
    images[:, 0] = 1
    views = views_of(images, stain=0.3)
    assert (views[:, 0] == 1).all()
    hematoxylin, eosin, residual = (-views[:, 1:].log() @ torch.linalg.inv(STAINS)).unbind(-1)
    assert torch.allclose(residual, amounts[:, 1:, :, 2], atol=1e-4)
    for stain, before in ((hematoxylin, amounts[:, 1:, :, 0]), (eosin, amounts[:, 1:, :, 1])):
        lines = [np.polyfit(b.flatten(), a.flatten(), 1) for a, b in zip(stain, before, strict=True)]
        factor, added = np.transpose(lines)
        assert factor == pytest.approx(1, abs=0.301)
        assert added == pytest.approx(0, abs=0.151)
        assert np.ptp(factor) > 0.4
        assert np.ptp(added) > 0.2
        line = torch.from_numpy(np.stack([factor, added])).float()[..., None, None]
        assert torch.allclose(stain, line[0] * before + line[1], atol=1e-4)


def test_stain_changes_what_is_paler_than_tissue_in_proportion_less():
    pale = torch.full((40, 1, 1, 3), float(np.exp(-0.015)))  # a tenth of the density of tissue
    dense = torch.full((40, 1, 1, 3), float(np.exp(-0.15)))
    changes = [(views_of(x, stain=0.3) / x).log() for x in (pale, dense)]
    seen = (changes[1].abs() > 1e-3) & (views_of(dense, stain=0.3) < 1) & (views_of(pale, stain=0.3) < 1)
    assert seen.sum() > 30
    assert torch.allclose(changes[0][seen] * 10, changes[1][seen], rtol=1e-2)


def test_black_pixels_stay_finite_under_stain():
    assert views_of(torch.zeros(20, 2, 2, 3), stain=1).isfinite().all()


# Corruption


def test_noise_has_its_standard_deviation_and_no_mean():
    noise = views_of(torch.full((20, 30, 30, 1), 0.5), noise=0.05) - 0.5
    assert float(noise.std()) == pytest.approx(0.05, rel=0.03)
    assert abs(noise.mean()) < 0.002
    assert np.corrcoef(noise[..., :-1, 0].flatten(), noise[..., 1:, 0].flatten())[0, 1] < 0.05


@pytest.mark.parametrize("shape", [(20, 20, 1), (12, 20, 3), (20, 12, 1)])
def test_the_mask_is_one_square_within_the_image(shape):
    hidden = views_of(torch.ones(300, *shape), mask=0.5) == 0
    assert (hidden == hidden[..., :1]).all()
    rows, columns = hidden[..., 0].any(2).sum(1), hidden[..., 0].any(1).sum(1)
    assert torch.equal(rows, columns)
    assert torch.equal(hidden[..., 0].sum((1, 2)), rows**2)
    assert set(rows.tolist()) == set(range(min(shape[:2]) // 2 + 1))
    assert hidden[..., 0].any(0).all()  # every place is hidden at times, corners too


def test_a_mask_of_the_whole_side_can_hide_everything():
    views = views_of(torch.ones(200, 3, 3, 1), mask=1)
    assert (views.amax((1, 2, 3)) == 0).any()


# Presets and what somebody wrote


def test_presets_have_names_also_without_their_colours():
    for name, preset in PRESETS.items():
        assert name_of(preset) == name_of(parse_views(name, 1)) == name_of(parse_views(name, 3)) == name
    assert name_of(Views()) is None


def test_presets_leave_colours_out_where_there_are_none():
    assert parse_views("natural", 3) == PRESETS["natural"]
    grey = parse_views("natural", 1)
    assert (grey.saturation, grey.hue, grey.brightness) == (0, 0, 0.4)
    assert parse_views("histology", 1).stain == 0
    assert parse_views("digits", 1) == parse_views("digits", 3) == PRESETS["digits"]


strengths = st.fixed_dictionaries(
    {},
    optional={name: st.floats(0, MOST.get(name, 1)) for name in STRENGTHS}
    | dict.fromkeys(SWITCHES, st.booleans())
    | {"outside": st.sampled_from(OUTSIDE)},
)


@given(strengths)
def test_what_views_write_they_read(written):
    views = parse_views(written, 3)
    assert parse_views(views.as_dict(), 3) == views == parse_views(views, 3)
    assert {type(value) for value in views.as_dict().values()} <= {float, bool, str}
    assert all(written[name] == value for name, value in views.as_dict().items())


def test_integers_and_numbers_of_numpy_are_numbers():
    assert parse_views({"turn": 5, "noise": np.float32(0.5)}, 1).as_dict() == {"turn": 5.0, "noise": 0.5}


@pytest.mark.parametrize(
    ("views", "piece"),
    [
        ("cats", "views must be one of digits, natural, histology, noise, or strengths by their names"),
        (None, "views=None"),
        (3, "views=3"),
        (["turn"], "views=['turn']"),
        (Views, "views must be one of"),
        ({"twist": 1}, "views must have names among turn, scale,"),
        ({"__class__": 1}, "Received '__class__'"),
        ({1: 1}, "Received 1."),
        ({None: 1}, "Received None."),
        ({"turn": float("nan")}, "turn must be a number from 0 to 180. Received turn=nan."),
        ({"turn": float("inf")}, "turn=inf"),
        ({"turn": 181}, "turn=181"),
        ({"turn": -1}, "turn=-1"),
        ({"scale": 1}, "scale must be a number from 0 to 0.9"),
        ({"hue": 0.6}, "hue must be a number from 0 to 0.5"),
        ({"noise": True}, "noise must be a number from 0 to 1. Received noise=True."),
        ({"noise": "0.1"}, "noise='0.1'"),
        ({"noise": None}, "noise=None"),
        ({"noise": [0.1]}, "noise=[0.1]"),
        ({"noise": 1j}, "noise=1j"),
        ({"noise": 10**400}, "noise must be a number from 0 to 1"),
        ({"noise": 1 << 20000}, "an integer of thousands of digits"),
        ({"noise": "x" * 10**6}, "noise must be a number from 0 to 1"),
        ({"flip": 1}, "flip must be True or False. Received flip=1."),
        ({"flip": "yes"}, "flip='yes'"),
        ({"outside": "white"}, "outside must be one of zeros, reflection, border"),
        ({"outside": ["zeros"]}, "outside=['zeros']"),
    ],
)
def test_bad_views_get_a_sentence(views, piece):
    with pytest.raises(OptionError) as caught:
        parse_views(views, 3)
    assert piece in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["saturation", "hue", "stain"])
@pytest.mark.parametrize("channels", [1, 4])
def test_colours_that_images_have_not_are_refused_where_they_are_asked_for(name, channels):
    views = Views(**{name: 0.1})
    for ask in (
        lambda: parse_views({name: 0.1}, channels),
        lambda: parse_views(views, channels),
        lambda: views(images_of(channels=channels), seeded()),
    ):
        with pytest.raises(OptionError, match="Only images with 3 channels") as caught:
            ask()
        assert f"{name}=0.1 for images with {channels}" in str(caught.value)
        assert f"Leave {name} out." in str(caught.value)
    assert parse_views({name: 0}, channels) == Views()


def test_views_check_what_they_are_made_of():
    with pytest.raises(OptionError, match="crop must be a number from 0 to"):
        Views(crop=1)
