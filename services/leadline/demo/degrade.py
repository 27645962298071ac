"""How a camera gets worse: out of focus, knocked askew, short of light.

Every function takes uint8 [N, H, W], black background, and returns a new array of the same shape
and type. Numpy only; nothing here loops over images.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8]

# What strength 1.0 means. Chosen so that the better model of the demo falls from 98 % to about
# 80 % of the held-out digits; `assets/digits.json` records what was measured.
FULL_BLUR_PIXELS = 0.7
FULL_TILT_DEGREES = 18.0
TILT_JITTER_DEGREES = 5.0


def blur(images: Images, sigma: float) -> Images:
    """Returns the images out of focus: a Gaussian of `sigma` pixels, black outside the frame.

    Args:
        images: uint8 [N, H, W].
        sigma: standard deviation in pixels, at least 0; 0 changes nothing.

    Raises:
        ValueError: `sigma` is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma is {sigma}; it must be at least 0")
    if sigma == 0:
        return images.copy()
    height, width = images.shape[1:]
    # A separable filter with zeros outside is one banded matrix for each side.
    rows, columns = _gaussian_matrix(height, sigma), _gaussian_matrix(width, sigma)
    return _to_pixels(rows @ images.astype(np.float32) @ columns.T)


def rotate(images: Images, degrees: float | NDArray[np.floating]) -> Images:
    """Returns the images turned counter-clockwise about their centre, bilinear, black outside.

    Args:
        images: uint8 [N, H, W].
        degrees: one angle for all, or one per image [N].
    """
    count, height, width = images.shape
    angles = np.radians(np.broadcast_to(np.asarray(degrees, np.float32), (count,)))
    cosine, sine = (f(angles)[:, None, None].astype(np.float32) for f in (np.cos, np.sin))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y -= (height - 1) / 2
    x -= (width - 1) / 2
    # The output pixel (y, x) shows the input at the point turned back. Rows grow downwards.
    source_y = cosine * y + sine * x + (height - 1) / 2
    source_x = -sine * y + cosine * x + (width - 1) / 2
    return _to_pixels(_bilinear(images, source_y, source_x))


def noise(images: Images, deviation: float, rng: np.random.Generator) -> Images:
    """Returns the images with Gaussian noise of `deviation` grey levels (of 255), clipped.

    Raises:
        ValueError: `deviation` is negative.
    """
    if deviation < 0:
        raise ValueError(f"deviation is {deviation}; it must be at least 0")
    grain = rng.standard_normal(images.shape, dtype=np.float32)
    return _to_pixels(images + np.float32(deviation) * grain)


def degrade(images: Images, strength: float, rng: np.random.Generator) -> Images:
    """Returns what a camera sees that was knocked askew and lost its focus.

    The tilt is to one side, a little different for every image; tilt and blur grow with
    `strength`.

    Args:
        images: uint8 [N, H, W].
        strength: 0 changes nothing; 1.0 is the demo's accident (see `assets/digits.json`).
        rng: source of the jitter.
    """
    jitter = rng.normal(0.0, TILT_JITTER_DEGREES, len(images))
    tilted = rotate(images, strength * (FULL_TILT_DEGREES + jitter))
    return blur(tilted, strength * FULL_BLUR_PIXELS)


def _gaussian_matrix(size: int, sigma: float) -> NDArray[np.float32]:
    """Returns float32 [size, size]: row i weighs the pixels that make the blurred pixel i."""
    radius = math.ceil(3 * sigma)
    reach = np.arange(-radius, radius + 1)
    total = np.exp(-0.5 * (reach / sigma) ** 2).sum()
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (distance / sigma) ** 2) / total
    return np.where(np.abs(distance) <= radius, weights, 0.0).astype(np.float32)


def _bilinear(
    images: Images, y: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns float32 [N, H, W]: each image read at its points (y, x), 0 outside."""
    count, height, width = images.shape
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    down, right = y - top, x - left
    which = np.arange(count)[:, None, None]
    result = np.zeros(y.shape, np.float32)
    for step_y, weight_y in ((0, 1 - down), (1, down)):
        for step_x, weight_x in ((0, 1 - right), (1, right)):
            row, column = top + step_y, left + step_x
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = images[which, row.clip(0, height - 1), column.clip(0, width - 1)]
            result += np.where(inside, pixel * weight_y * weight_x, 0).astype(np.float32)
    return result


def _to_pixels(values: NDArray[np.floating]) -> Images:
    pixels: Images = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels
