"""Three generative enhancers for degraded photos: a VAE, a GAN and a diffusion model.

>>> from enhancers import load
>>> restored = load("vae").restore(degraded)  # (N, 3, H, W) in [0, 1]
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch

from enhancers.base import Enhancer, Option, Spec
from enhancers.options import OPTIONS
from enhancers.weights import FOLDER, TITLES

__all__ = ["NAMES", "OPTIONS", "TITLES", "Enhancer", "Option", "Spec", "load"]

NAMES: tuple[str, ...] = tuple(TITLES)
"""Keys of `load`."""

_CLASSES = {"vae": "VAEEnhancer", "gan": "GANEnhancer", "diffusion": "DiffusionEnhancer"}


def load(name: str, device: str | torch.device = "cpu", folder: Path | None = None) -> Enhancer:
    """Load an enhancer with the shipped weights, or those in `folder`, onto a device.

    Raises ValueError for an unknown name, FileNotFoundError where there are no weights.
    """
    if name not in NAMES:
        raise ValueError(f"Unknown enhancer '{name}'; choose among {', '.join(NAMES)}.")
    enhancer = getattr(import_module(f"enhancers.{name}"), _CLASSES[name])
    return enhancer(folder or FOLDER / name, torch.device(device))
