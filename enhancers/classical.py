"""Classical methods to hold the networks against, each for the damage it suits.

They keep the contract of `Enhancer`, know nothing but the photo in front of them and what their
options tell them, and rest on scikit-image and OpenCV. The degraded photo itself belongs into
every table beside them; of low resolution it *is* the classical baseline, enlarged bicubically.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage import exposure, restoration
from torch import Tensor

from enhancers.base import Enhancer, OnStep, Option, Spec

_SIGMA = Option(
    "sigma", 0, 100, 0, "Standard deviation of the noise, 0-255, if known; 0 estimates it."
)


@dataclass(frozen=True)
class _Method:
    title: str
    suits: tuple[str, ...]
    """Degradations of `enhancers.degradations`."""
    options: tuple[Option, ...]
    function: Callable[..., np.ndarray]
    """Called as `function(photo, holes, **options)`: (H, W, 3) float64 and (H, W) bool."""


def load(name: str) -> Enhancer:
    """Return the method of that name. Raises ValueError for an unknown one."""
    if name not in NAMES:
        raise ValueError(f"Unknown classical method '{name}'; choose among {', '.join(NAMES)}.")
    return Classical(name)


def suited(degradation: str) -> list[str]:
    """Return the names of the methods made for a degradation."""
    return [name for name, method in _METHODS.items() if degradation in method.suits]


class Classical(Enhancer):
    """One of `NAMES`, on the processor; seeds change nothing."""

    def __init__(self, name: str):
        method = _METHODS[name]
        self.device = torch.device("cpu")
        self.spec = Spec(name, method.title, 0, "", options=method.options)
        self._function = method.function

    def _restore(
        self, degraded: Tensor, mask: Tensor, generator: torch.Generator, on_step: OnStep, **options
    ) -> Tensor:
        photos = degraded.permute(0, 2, 3, 1).double().numpy()
        holes = mask[:, 0].bool().numpy()
        results = [self._function(*pair, **options) for pair in zip(photos, holes, strict=True)]
        restored = torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2).to(degraded)
        on_step(1, 1, restored)
        return restored


def estimate_sigma(photo: np.ndarray) -> float:
    """Estimate the standard deviation of white noise in a photo, (H, W, 3), in its own units.

    Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage": the median size of
    the finest diagonal Haar details, over channels. 0 where a side is below two pixels.
    """
    H, W = (side - side % 2 for side in photo.shape[:2])
    a, b, c, d = (photo[y:H:2, x:W:2] for y in (0, 1) for x in (0, 1))
    details = (a - b - c + d) / 2
    return float(np.median(np.abs(details))) / 0.6745 if details.size else 0.0


def _sigma(photo: np.ndarray, told: float) -> float:
    return told / 255 or estimate_sigma(photo)


def _non_local_means(photo: np.ndarray, holes: np.ndarray, sigma: float) -> np.ndarray:
    """Average similar patches (Buades et al. 2005), with the variance of the noise taken off."""
    sigma = _sigma(photo, sigma)
    if not sigma:
        return photo
    restored = restoration.denoise_nl_means(
        photo, patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma, channel_axis=-1
    )
    return restored.reshape(photo.shape)  # it drops sides of one pixel


def _total_variation(photo: np.ndarray, holes: np.ndarray, sigma: float) -> np.ndarray:
    """Least total variation near the photo (Rudin et al. 1992, by Chambolle 2004)."""
    weight = _sigma(photo, sigma)
    return restoration.denoise_tv_chambolle(photo, weight, channel_axis=-1) if weight else photo


def _unsharp(photo: np.ndarray, holes: np.ndarray, radius: float, amount: float) -> np.ndarray:
    """Add what a Gaussian blur of standard deviation `radius` would take away."""
    return photo + amount * (photo - gaussian_filter(photo, (radius, radius, 0)))


def _richardson_lucy(
    photo: np.ndarray, holes: np.ndarray, sigma: float, iterations: int
) -> np.ndarray:
    """Undo a Gaussian blur (Richardson 1972, Lucy 1974), with mirrored borders."""
    radius = int(3 * sigma + 1)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2))
    padded = np.pad(photo, [(radius, radius)] * 2 + [(0, 0)], mode="symmetric")
    channels = [
        restoration.richardson_lucy(
            padded[..., c], kernel / kernel.sum(), iterations, filter_epsilon=1e-3
        )
        for c in range(3)
    ]
    return np.stack(channels, axis=-1)[radius:-radius, radius:-radius]


def _auto_gamma(photo: np.ndarray, holes: np.ndarray, target: float) -> np.ndarray:
    """Brighten by the power that brings the mean to `target`; brighter photos stay."""
    mean = float(np.clip(photo.mean(), 1e-3, 1))
    return photo ** min(1.0, np.log(target) / np.log(mean)) if mean < target else photo


def _equalise(photo: np.ndarray, holes: np.ndarray, clip: float) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of the HSV value."""
    return exposure.equalize_adapthist(photo, clip_limit=clip)


def _biharmonic(photo: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Fill holes by the smoothest surface through their rims (Damelin and Hoang 2018)."""
    if holes.all() or not holes.any():
        return photo
    return restoration.inpaint_biharmonic(photo, holes, channel_axis=-1)


def _telea(photo: np.ndarray, holes: np.ndarray, radius: float) -> np.ndarray:
    """Fill holes from their rims inwards, by weighted means of what is known (Telea 2004)."""
    return _opencv("INPAINT_TELEA", photo, holes, radius)


def _navier_stokes(photo: np.ndarray, holes: np.ndarray, radius: float) -> np.ndarray:
    """Fill holes by continuing the lines of equal brightness (Bertalmio et al. 2001)."""
    return _opencv("INPAINT_NS", photo, holes, radius)


def _opencv(flag: str, photo: np.ndarray, holes: np.ndarray, radius: float) -> np.ndarray:
    if holes.all() or not holes.any():
        return photo
    import cv2  # 60 MB that only these two need

    levels = np.round(255 * photo).astype(np.uint8)
    filled = cv2.inpaint(levels, holes.astype(np.uint8), radius, getattr(cv2, flag))
    return np.where(holes[..., None], filled / 255, photo)


_RADIUS = Option("radius", 1, 20, 3, "How far known pixels reach into a hole, in pixels.")

_METHODS = {
    "nlm": _Method("Non-local means", ("noise", "shot"), (_SIGMA,), _non_local_means),
    "tv": _Method("Total variation", ("noise", "shot", "jpeg", "mixed"), (_SIGMA,),
                  _total_variation),
    "unsharp": _Method("Unsharp mask", ("blur", "motion", "lowres", "mixed"), (
        Option("radius", 0.5, 10, 1.5, "Radius of the blur it takes off, in pixels."),
        Option("amount", 0, 5, 1, "How much of the difference it adds."),
    ), _unsharp),
    "lucy": _Method("Richardson-Lucy", ("blur",), (
        Option("sigma", 0.4, 4, 1.6, "Gaussian blur it is told to undo, in pixels."),
        Option("iterations", 1, 100, 10, "More is sharper and noisier.", integer=True),
    ), _richardson_lucy),
    "autogamma": _Method("Automatic gamma", ("dark",), (
        Option("target", 0.1, 0.9, 0.43, "Mean brightness to reach, in [0, 1]."),
    ), _auto_gamma),
    "clahe": _Method("Adaptive histogram", ("dark",), (
        Option("clip", 0.001, 1, 0.01, "Largest contrast gain, as a part of its maximum."),
    ), _equalise),
    "biharmonic": _Method("Biharmonic inpainting", ("scratches",), (), _biharmonic),
    "telea": _Method("Telea inpainting", ("scratches",), (_RADIUS,), _telea),
    "navierstokes": _Method("Navier-Stokes inpainting", ("scratches",), (_RADIUS,),
                            _navier_stokes),
}  # fmt: skip

NAMES: tuple[str, ...] = tuple(_METHODS)
"""Keys of `load`; they never change, since result files hold them."""

TITLES: dict[str, str] = {name: method.title for name, method in _METHODS.items()}
OPTIONS: dict[str, tuple[Option, ...]] = {name: m.options for name, m in _METHODS.items()}
