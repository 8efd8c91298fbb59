"""How good a restored photo is, measured as the user would download it.

Pictures are rounded to 8 bits first. The functions of `METRICS` take two pictures of equal size,
(3, H, W) or (1, 3, H, W), RGB in [0, 1], and return one float. To report a whole dataset, measure
each picture and average the values: a mean of PSNRs is not the PSNR of a mean MSE. A metric that
is not defined for a picture, most often a small one, is nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import mean_squared_error, structural_similarity
from torch import Tensor

from enhancers._torchvision import ensure_importable

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


def psnr_y_sr(restored: Tensor, clean: Tensor, scale: float) -> float:
    """PSNR in dB of luma without a border of `scale` pixels, as tables of upscaling have it.

    scale: how many times smaller the photo was. nan where the border is the whole picture.
    """
    border = math.ceil(scale)
    inner = [_luma(x)[:, border:-border, border:-border] for x in _as_downloaded(restored, clean)]
    return _psnr(*inner) if inner[0].size else math.nan


def ms_ssim(restored: Tensor, clean: Tensor) -> float:
    """Multi-scale structural similarity over RGB; higher is better, 1 where equal.

    Wang et al. 2003, "Multi-scale structural similarity for image quality assessment": five
    scales, each half the last. nan for pictures with a side below `MS_SSIM_SIDE`.
    """
    return _piq("multi_scale_ssim", MS_SSIM_SIDE, restored, clean)


def haarpsi(restored: Tensor, clean: Tensor) -> float:
    """Haar wavelet-based perceptual similarity, in [0, 1]; higher is better, 1 where equal.

    Reisenhofer et al. 2018, "A Haar wavelet-based perceptual similarity index for image quality
    assessment"; pictures are halved first. nan for pictures with a side below `HAARPSI_SIDE`.
    """
    return _piq("haarpsi", HAARPSI_SIDE, restored, clean)


def gmsd(restored: Tensor, clean: Tensor) -> float:
    """Gradient magnitude similarity deviation of luma; lower is better, 0 where equal.

    Xue et al. 2014, "Gradient magnitude similarity deviation"; pictures are halved first. nan for
    pictures with a side below `GMSD_SIDE`.
    """
    return _piq("gmsd", GMSD_SIDE, restored, clean)


def niqe(restored: Tensor, clean: Tensor) -> float:
    """Naturalness of the restored picture alone (see `eval.niqe`); lower is better.

    `clean` changes nothing. nan for pictures with fewer than two blocks of 96 × 96 that are not
    flat.
    """
    from eval.niqe import score

    return score(_luma(_as_downloaded(restored, clean)[0])[0])


def hf_energy(restored: Tensor, clean: Tensor) -> float:
    """Fine detail: mean square of the restored picture's Laplacian over that of the clean one.

    On luma, with the kernel of four neighbours. 1 where there is as much as there should be; less
    is smooth, more is grain or invention. nan where the clean picture has none, or a side below
    three pixels.
    """
    a, b = (_laplacian_energy(_luma(x)[0]) for x in _as_downloaded(restored, clean))
    return a / b if b > 0 else math.nan


def colour_shift(restored: Tensor, clean: Tensor) -> float:
    """How far the mean colour is off, in levels of 255; lower is better, 0 where equal.

    The largest difference of the means of R, of G and of B, whatever its sign.
    """
    a, b = (x.mean((1, 2)) for x in _as_downloaded(restored, clean))
    return float(np.abs(a - b).max())


def psnr_of_mean(restored: Sequence[Tensor], clean: Tensor) -> float:
    """PSNR in dB of the mean of several restorations of one photo, not rounded; see `psnr`."""
    pictures = [_as_downloaded(one, clean) for one in restored]
    return _psnr(np.mean([a for a, _ in pictures], axis=0), pictures[0][1])


def deviation(restored: Sequence[Tensor]) -> float:
    """How much restorations of one photo differ, in levels of 255.

    Standard deviation (of a sample) of each pixel and channel, averaged over them.
    """
    return float(
        np.std([_rounded(_single("restored", x)) for x in restored], axis=0, ddof=1).mean()
    )


def measure(
    restored: Tensor, clean: Tensor, names: Iterable[str] = ("psnr", "ssim", "mse")
) -> dict[str, float]:
    """Return {name: value} for the named `METRICS` that compare two pictures.

    Raises ValueError for an unknown name, and for one that two pictures do not tell.
    """
    values = {}
    for name in names:
        function = find(name).function
        if function is None:
            raise ValueError(
                f"{name} does not follow from two pictures; python -m eval measures it."
            )
        values[name] = function(restored, clean)
    return values


def find(name: str) -> Metric:
    """Return the metric of that name. Raises ValueError for an unknown name."""
    if name not in METRICS:
        raise ValueError(f"No metric is called {name!r}; there are {', '.join(METRICS)}.")
    return METRICS[name]


MS_SSIM_SIDE = (WINDOW - 1) * 2**4 + 1
HAARPSI_SIDE = 16
GMSD_SIDE = 6
"""Smallest sides for which the metrics of piq are defined: the coarsest window must fit."""


@dataclass(frozen=True)
class Metric:
    """What a table, chart or tooltip needs to know of a metric."""

    name: str
    """Key in `METRICS` and in result files."""
    title: str
    """Name for people."""
    unit: str
    """Empty for a pure number."""
    higher_is_better: bool | None
    """None where neither is: what is best then stands in `meaning`."""
    low: float
    """Smallest value possible."""
    high: float
    """Largest value possible."""
    digits: int
    """Decimals worth showing."""
    meaning: str
    """One plain sentence or two."""
    function: Callable[[Tensor, Tensor], float] | None = None
    """Called as `function(restored, clean)`; None where it takes more than two pictures to tell."""


_TABLE = (
    Metric("psnr", "PSNR", "dB", True, 0.0, math.inf, 2,
           "Peak signal-to-noise ratio: how small the average pixel error is, on a logarithmic "
           "scale. 3 dB more means half the squared error; 20 dB is poor, 40 dB is hard to tell "
           "from the original.", psnr),
    Metric("ssim", "SSIM", "", True, -1.0, 1.0, 4,
           "Structural similarity: how well local brightness, contrast and pattern agree. "
           "1 means identical. Needs at least 11×11 pixels.", ssim),
    Metric("mse", "MSE", "", False, 0.0, float(PEAK**2), 1,
           "Mean squared error of the pixels on the 0–255 scale. 0 means identical.", mse),
    Metric("psnr_y", "PSNR-Y", "dB", True, 20 * math.log10(PEAK / 219), math.inf, 2,
           "PSNR of brightness alone (BT.601), as tables of JPEG repair report it. "
           "Reads higher than PSNR over RGB, so the two do not compare.", psnr_y),
    Metric("ssim_y", "SSIM-Y", "", True, -1.0, 1.0, 4,
           "SSIM of brightness alone (BT.601), as tables of JPEG repair and upscaling report it.",
           ssim_y),
    Metric("psnr_y_sr", "PSNR-Y, inner", "dB", True, 20 * math.log10(PEAK / 219), math.inf, 2,
           "PSNR-Y without a border as wide as the photo was shrunk, as tables of upscaling "
           "report it. For low resolution only."),
    Metric("ms_ssim", "MS-SSIM", "", True, 0.0, 1.0, 4,
           "Structural similarity at five scales, from fine to coarse. 1 means identical. "
           "Needs at least 161×161 pixels.", ms_ssim),
    Metric("haarpsi", "HaarPSI", "", True, 0.0, 1.0, 4,
           "How well edges agree, by Haar wavelets, tuned to what people notice. "
           "1 means identical. Needs at least 16×16 pixels.", haarpsi),
    Metric("gmsd", "GMSD", "", False, 0.0, math.inf, 4,
           "How unevenly edges are damaged over the picture. 0 means identical.", gmsd),
    Metric("niqe", "NIQE", "", False, 0.0, math.inf, 2,
           "How far local statistics are from those of good photos, without knowing the original. "
           "Takes fine grain for detail, so never judge by it alone.", niqe),
    Metric("hf_energy", "Fine detail", "× original", None, 0.0, math.inf, 3,
           "Energy of the finest detail beside the original's. 1 is right; less is smooth, "
           "more is grain or invention.", hf_energy),
    Metric("colour_shift", "Colour shift", "levels of 255", False, 0.0, float(PEAK), 2,
           "How far the picture's mean colour is from the original's, in the worst of red, green "
           "and blue. A file cannot show less than one level.", colour_shift),
    Metric("psnr_of_mean", "PSNR of mean", "dB", True, 0.0, math.inf, 2,
           "PSNR of the average of several tries with different seeds. Above the PSNR of one try, "
           "where the tries differ."),
    Metric("deviation", "Deviation", "levels of 255", None, 0.0, PEAK / math.sqrt(2), 2,
           "How much tries with different seeds differ, per pixel. 0 for a method that always "
           "gives the same picture."),
    Metric("seconds", "Time", "s", False, 0.0, math.inf, 3,
           "Time of one restoration, without loading and measuring."),
    Metric("peak_memory", "Peak memory", "MB", False, 0.0, math.inf, 0,
           "Memory that one restoration takes at most beyond what was in use before it, in units "
           "of 2^20 bytes."),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}

STANDARD = ("psnr", "ssim", "mse")
"""What the page shows."""


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


def luma(picture: Tensor) -> np.ndarray:
    """Return the BT.601 luma of a picture rounded to 8 bits, (H, W) in [16, 235], not rounded."""
    return _luma(_rounded(_single("picture", picture)))[0]


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


def _laplacian_energy(plane: np.ndarray) -> float:
    if min(plane.shape) < 3:
        return math.nan
    neighbours = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
    return float(np.square(neighbours - 4 * plane[1:-1, 1:-1]).mean())


def _piq(name: str, side: int, restored: Tensor, clean: Tensor) -> float:
    """Call a function of piq; nan for pictures with a smaller side than that."""
    a, b = _as_downloaded(restored, clean)
    if min(a.shape[-2:]) < side:
        return math.nan
    ensure_importable()
    import piq  # takes seconds: it brings torchvision

    x, y = (torch.from_numpy(picture)[None] / PEAK for picture in (a, b))
    return float(getattr(piq, name)(x, y, data_range=1.0))
