"""How close a restored photo is to the clean one, measured as the user would download it.

Both pictures are rounded to 8 bits first. Every function takes two pictures of equal size,
(3, H, W) or (1, 3, H, W), RGB in [0, 1], and returns one float. To report a whole dataset,
measure each picture and average the values: a mean of PSNRs is not the PSNR of a mean MSE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from skimage.metrics import mean_squared_error, structural_similarity
from torch import Tensor

PEAK = 255
WINDOW = 11
"""Side of the SSIM window: a Gaussian of sigma 1.5 cut at 3.5 sigma."""


def mse(restored: Tensor, clean: Tensor) -> float:
    """Mean squared error over pixels and channels on the 0-255 scale; lower is better."""
    return _mse(*_as_downloaded(restored, clean))


def psnr(restored: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over RGB, peak 255; higher is better, inf where equal."""
    return _psnr(*_as_downloaded(restored, clean))


def ssim(restored: Tensor, clean: Tensor) -> float:
    """Structural similarity, averaged over R, G and B; higher is better, 1 where equal.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity":
    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, without their optional downscaling.
    nan, meaning "not defined", for pictures narrower or lower than the window.
    """
    return _ssim(*_as_downloaded(restored, clean))


def psnr_y(restored: Tensor, clean: Tensor) -> float:
    """PSNR in dB of luma only, peak 255: for comparison with published JPEG and x2-x4 tables."""
    return _psnr(*map(_luma, _as_downloaded(restored, clean)))


def ssim_y(restored: Tensor, clean: Tensor) -> float:
    """SSIM of luma only: for comparison with published JPEG and x2-x4 tables. nan as in `ssim`."""
    return _ssim(*map(_luma, _as_downloaded(restored, clean)))


def measure(
    restored: Tensor, clean: Tensor, names: Iterable[str] = ("psnr", "ssim", "mse")
) -> dict[str, float]:
    """Return {name: value} for the named `METRICS`. Raises ValueError for an unknown name."""
    return {name: find(name).function(restored, clean) for name in names}


def find(name: str) -> Metric:
    """Return the metric of that name. Raises ValueError for an unknown name."""
    if name not in METRICS:
        raise ValueError(f"No metric is called {name!r}; there are {', '.join(METRICS)}.")
    return METRICS[name]


@dataclass(frozen=True)
class Metric:
    """What a table, chart or tooltip needs to know of a metric."""

    name: str
    """Key in `METRICS` and in result files."""
    title: str
    """Name for people."""
    unit: str
    """Empty for a pure number."""
    higher_is_better: bool
    low: float
    """Smallest value possible."""
    high: float
    """Largest value possible."""
    meaning: str
    """One or two plain sentences."""
    function: Callable[[Tensor, Tensor], float]
    """Called as `function(restored, clean)`."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr",
            "PSNR",
            "dB",
            True,
            0.0,
            math.inf,
            "Peak signal-to-noise ratio: how small the average pixel error is, on a logarithmic "
            "scale. 3 dB more means half the squared error; 20 dB is poor, 40 dB is hard to tell "
            "from the original.",
            psnr,
        ),
        Metric(
            "ssim",
            "SSIM",
            "",
            True,
            -1.0,
            1.0,
            "Structural similarity: how well local brightness, contrast and pattern agree. "
            "1 means identical. Needs at least 11×11 pixels.",
            ssim,
        ),
        Metric(
            "mse",
            "MSE",
            "",
            False,
            0.0,
            float(PEAK**2),
            "Mean squared error of the pixels on the 0–255 scale. 0 means identical.",
            mse,
        ),
        Metric(
            "psnr_y",
            "PSNR-Y",
            "dB",
            True,
            20 * math.log10(PEAK / 219),  # black against white: luma spans 16-235
            math.inf,
            "PSNR of brightness alone (BT.601), as tables of JPEG repair and upscaling report it. "
            "Reads higher than PSNR over RGB, so the two do not compare.",
            psnr_y,
        ),
        Metric(
            "ssim_y",
            "SSIM-Y",
            "",
            True,
            -1.0,
            1.0,
            "SSIM of brightness alone (BT.601), as tables of JPEG repair and upscaling report it.",
            ssim_y,
        ),
    )
}


def _as_downloaded(restored: Tensor, clean: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Check two pictures; return them as whole numbers 0-255, (3, H, W) float64."""
    restored, clean = _single("restored", restored), _single("clean", clean)
    if restored.shape != clean.shape:
        raise ValueError(
            "Expected two pictures of equal size, but restored is "
            f"{_size(restored)} and clean is {_size(clean)}."
        )
    return _rounded(restored), _rounded(clean)


def _single(role: str, picture: Tensor) -> Tensor:
    if picture.ndim == 4 and picture.shape[0] == 1:
        picture = picture[0]
    if picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
        raise ValueError(
            f"Expected {role} of shape (3, H, W) or (1, 3, H, W), but got {tuple(picture.shape)}."
        )
    if not picture.is_floating_point():
        raise ValueError(f"Expected {role} as floats in [0, 1], but got {picture.dtype}.")
    low, high = picture.aminmax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ValueError(f"Expected {role} in [0, 1], but got [{low:.3g}, {high:.3g}].")
    return picture


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]}×{picture.shape[-2]}"


def _rounded(picture: Tensor) -> np.ndarray:
    return picture.detach().cpu().float().mul(PEAK).round().double().numpy()


def _luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma in [16, 235], not rounded. (3, H, W) in [0, 255] -> (1, H, W)."""
    weights = np.array([65.481, 128.553, 24.966]) / PEAK
    return 16 + np.tensordot(weights, rgb, axes=1)[None]


def _mse(a: np.ndarray, b: np.ndarray) -> float:
    return float(mean_squared_error(a, b))


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = _mse(a, b)
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    if min(a.shape[-2:]) < WINDOW:
        return math.nan
    return float(
        structural_similarity(
            a,
            b,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=PEAK,
            channel_axis=0,
        )
    )
