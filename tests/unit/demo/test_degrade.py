"""A camera gets worse in the way that was asked for, and in no other."""

import numpy as np
import pytest

from leadline.demo import assets
from leadline.demo.degrade import blur, degrade, noise, rotate


@pytest.fixture
def images():
    return assets.load_heldout()[0][:64]


def slow_blur(image, sigma):
    """The definition: each pixel is the weighted mean of its neighbours, black outside."""
    radius = int(np.ceil(3 * sigma))
    steps = range(-radius, radius + 1)
    weights = {s: np.exp(-0.5 * (s / sigma) ** 2) for s in steps}
    total = sum(weights.values())
    height, width = image.shape
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            for dy in steps:
                for dx in steps:
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        weight = weights[dy] * weights[dx] / total**2
                        result[y, x] += weight * image[y + dy, x + dx]
    return result


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.5])
def test_blur_is_the_gaussian_of_its_definition(images, sigma):
    got = blur(images[:2], sigma).astype(float)
    want = np.stack([slow_blur(image, sigma) for image in images[:2]])
    assert np.abs(got - want).max() <= 0.51  # rounding to a grey level


def test_blur_of_a_dot_is_symmetric_and_keeps_its_light():
    dot = np.zeros((1, 29, 29), np.uint8)
    dot[0, 14, 14] = 255
    blurred = blur(dot, 1.0)[0]
    assert (blurred == blurred.T).all()
    assert (blurred == blurred[::-1, ::-1]).all()
    assert abs(int(blurred.sum()) - 255) < 15


def test_a_right_angle_only_moves_pixels(images):
    assert (rotate(images, 90.0) == np.rot90(images, axes=(1, 2))).all()
    assert (rotate(images, -90.0) == np.rot90(images, -1, axes=(1, 2))).all()
    assert (rotate(images, 180.0) == images[:, ::-1, ::-1]).all()


def test_each_image_is_turned_by_its_own_angle(images):
    turned = rotate(images[:3], np.array([0.0, 90.0, 17.0]))
    assert (turned[0] == images[0]).all()
    assert (turned[1] == np.rot90(images[1])).all()
    assert (turned[2] == rotate(images[2:3], 17.0)[0]).all()


def test_turning_back_nearly_restores_what_stayed_in_the_frame(images):
    smooth = blur(images, 1.0)
    back = rotate(rotate(smooth, 20.0), -20.0)
    assert np.abs(back.astype(int) - smooth).mean() < 3


def test_images_need_not_be_square():
    wide = np.arange(2 * 5 * 9, dtype=np.uint8).reshape(2, 5, 9)
    assert (rotate(wide, 180.0) == wide[:, ::-1, ::-1]).all()
    assert blur(wide, 0.5).shape == wide.shape


def test_noise_has_its_deviation_and_is_clipped():
    grey = np.full((50, 28, 28), 128, np.uint8)
    grained = noise(grey, 10.0, np.random.default_rng(1)).astype(float)
    assert abs(grained.mean() - 128) < 0.3
    assert abs(grained.std() - 10) < 0.3
    white = np.full((5, 28, 28), 255, np.uint8)
    assert noise(white, 50.0, np.random.default_rng(1)).dtype == np.uint8
    assert noise(white, 50.0, np.random.default_rng(1)).mean() > 200  # nothing wraps around


def test_nothing_is_changed_at_strength_zero_and_never_in_place(images):
    before = images.copy()
    rng = np.random.default_rng(1)
    for same in (
        blur(images, 0.0),
        rotate(images, 0.0),
        noise(images, 0.0, rng),
        degrade(images, 0.0, rng),
    ):
        assert (same == before).all()
        assert same.dtype == np.uint8
        assert not np.shares_memory(same, images)
    degrade(images, 1.0, rng)
    assert (images == before).all()


def test_the_same_seed_degrades_alike_and_another_does_not(images):
    first = degrade(images, 1.0, np.random.default_rng(7))
    assert (first == degrade(images, 1.0, np.random.default_rng(7))).all()
    assert (first != degrade(images, 1.0, np.random.default_rng(8))).any()


def test_no_image_at_all_is_fine():
    none = np.zeros((0, 28, 28), np.uint8)
    assert degrade(none, 1.0, np.random.default_rng(1)).shape == (0, 28, 28)


def test_negative_widths_are_refused(images):
    with pytest.raises(ValueError, match="sigma is -1"):
        blur(images, -1.0)
    with pytest.raises(ValueError, match="deviation is -1"):
        noise(images, -1.0, np.random.default_rng(1))
