import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caescope.slides import open_slide, read_thumbnail, tissue_mask, tissue_share, white_fraction

GLASS, PINK = (244, 243, 245), (205, 130, 180)


def thumbnail(height=200, width=300):
    noise = np.random.default_rng(0).integers(-2, 3, (height, width, 3))
    return (np.array(GLASS) + noise).astype(np.uint8)


def test_a_pink_piece_on_glass_is_found_but_for_its_corners():
    picture = thumbnail()
    picture[40:120, 60:200] = PINK
    truth = np.zeros((200, 300), bool)
    truth[40:120, 60:200] = True
    assert (tissue_mask(picture) != truth).sum() <= 4


def test_a_blank_slide_has_no_tissue():
    assert not tissue_mask(thumbnail()).any()
    assert not tissue_mask(np.full((50, 50, 3), 255, np.uint8)).any()
    assert not tissue_mask(np.zeros((50, 50, 3), np.uint8)).any()  # nor has a black one


def test_a_slide_full_of_pale_and_dense_tissue_is_tissue_all_over():
    picture = np.full((100, 100, 3), (225, 170, 205), np.uint8)
    picture[:, 50:] = (120, 40, 120)
    assert tissue_mask(picture).all()


def test_specks_go_and_holes_are_filled():
    picture = thumbnail(500, 500)
    picture[100:300, 100:300] = PINK
    picture[200:202, 200:202] = GLASS
    picture[400:402, 400:402] = PINK
    mask = tissue_mask(picture)
    assert mask[200:202, 200:202].all()
    assert not mask[390:].any()


def test_the_real_slide_is_tissue_where_the_eye_sees_it(shared_data):
    mask = tissue_mask(read_thumbnail(open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs"), 742))
    assert mask.shape == (742, 555)
    assert 0.28 < mask.mean() < 0.38
    assert mask[500:600, 240:300].mean() > 0.9  # epithelium
    assert not mask[300:600, :100].any()  # glass to the left


def test_white_fraction_by_hand():
    tile = np.zeros((1, 2, 4, 3), np.uint8)
    tile[0, 0] = 255
    tile[0, 1, 0] = (221, 220, 220)  # mean above 220
    tile[0, 1, 1] = 220
    assert white_fraction(tile).tolist() == [5 / 8]


def test_shares_of_boxes_by_hand():
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], bool)
    boxes = [
        [0, 0, 2, 2],
        [0, 0, 4, 3],
        [0.5, 0.5, 1.5, 1.5],
        [3, 2, 5, 3],
        [10, 10, 12, 12],
        [3.25, 2, 3.75, 3],
    ]
    assert tissue_share(mask, np.array(boxes)) == pytest.approx([3 / 4, 4 / 12, 3 / 4, 1 / 2, 0, 1])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=5),
    st.integers(0, 100),
)
def test_shares_are_what_counting_on_a_finer_grid_gives(height, width, squares, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    fine = np.zeros((80, 80))
    fine[: 4 * height, : 4 * width] = np.kron(mask, np.ones((4, 4)))  # quarters of a pixel
    boxes = np.array([(x, y, x + side, y + side) for x, y, side in squares]) / 4
    counted = [fine[y : y + side, x : x + side].sum() / side**2 for x, y, side in squares]
    assert tissue_share(mask, boxes) == pytest.approx(counted)
