"""One photo on its way through the page: loaded, damaged or not, scored, saved. No Gradio here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from enhancers import images
from enhancers.base import Spec
from enhancers.degradations import DEGRADATIONS, degrade
from eval.metrics import measure

DAMAGE, DEGRADED, REFERENCE = "damage", "degraded", "reference"
"""What a photo is: clean, to be damaged here; degraded; degraded, with its original at hand."""

SCORES = ("psnr", "ssim", "mse")
LARGEST_SEED = 2**32 - 1
MAX_PIXELS = 4096 * 3072
"""Largest photo the page takes: what a phone takes, and what the people in the queue can bear."""


@dataclass(frozen=True)
class Job:
    """What the enhancers are given, and what is known of the truth."""

    photo: images.Photo
    degraded: Tensor
    """(1, 3, H, W) on the 8-bit grid: the very pixels shown and downloaded as the input."""
    mask: Tensor
    """(1, 1, H, W), 1 where a pixel is lost."""
    clean: Tensor | None
    """(1, 3, H, W), or None where the truth is not known."""
    damage: str
    """How the photo was damaged, for people and for the saved file."""


def prepare(
    photo: str | Path | None,
    how: str,
    degradation: str = "noise",
    severity: float | None = None,
    seed: float = 0,
    reference: str | Path | None = None,
) -> Job:
    """Load a photo and do what `how` says.

    severity: in the unit of the degradation; None takes its default. Raises ValueError, of which
    `images.ImageError` is one, with a sentence for the user.
    """
    if photo is None:
        raise ValueError("Choose a photo first: upload one, or pick an example.")
    loaded = load(photo)
    if how == DAMAGE:
        degraded, mask = damaged(loaded.pixels, degradation, severity, seed)
        kind = DEGRADATIONS[degradation]
        amount = kind.default if severity is None else severity
        damage = f"{kind.title} {amount:g} ({kind.unit}), seed {seed:g}"
        return Job(loaded, degraded, mask, images.quantise(loaded.pixels), damage)
    if how not in (DEGRADED, REFERENCE):
        raise ValueError(f"A photo is {DAMAGE!r}, {DEGRADED!r} or {REFERENCE!r}, not {how!r}.")
    degraded = images.quantise(loaded.pixels)
    mask = degraded.new_zeros(1, 1, *degraded.shape[2:])
    clean = _original(reference, degraded) if how == REFERENCE else None
    return Job(loaded, degraded, mask, clean, "as given")


def load(path: str | Path) -> images.Photo:
    """Load an uploaded photo. Raises `images.ImageError`, naming the file without its folder."""
    with _without_folder(path):
        return images.load(path, max_pixels=MAX_PIXELS)


def load_mask(path: str | Path, job: Job) -> Tensor:
    """Load a mask, white where pixels are lost, (1, 1, H, W). Raises `images.ImageError`."""
    with _without_folder(path):
        return images.load_mask(path, tuple(job.degraded.shape[-2:]))


def damaged(
    clean: Tensor, degradation: str, severity: float | None = None, seed: float = 0
) -> tuple[Tensor, Tensor]:
    """Damage a photo: (degraded, mask). Raises ValueError for an unknown name, severity or seed."""
    if degradation not in DEGRADATIONS:
        raise ValueError(
            f"There is no degradation {degradation!r}; there are {', '.join(DEGRADATIONS)}."
        )
    kind = DEGRADATIONS[degradation]
    amount = kind.default if severity is None else severity
    if not kind.low <= amount <= kind.high:
        raise ValueError(
            f"{kind.title} ({kind.unit}) goes from {kind.low:g} to {kind.high:g}, "
            f"but got {amount:g}."
        )
    generator = torch.Generator().manual_seed(check_seed(seed))
    degraded, mask = degrade(clean, degradation, amount, generator=generator)
    return images.quantise(degraded), mask


def check_seed(seed: float | None) -> int:
    """Return a seed as a whole number. Raises ValueError if it is none, or out of range."""
    if seed is None or seed != int(seed) or not 0 <= seed <= LARGEST_SEED:
        got = "nothing" if seed is None else f"{seed:g}"
        raise ValueError(f"A seed is a whole number from 0 to {LARGEST_SEED}, but got {got}.")
    return int(seed)


def scores(picture: Tensor, job: Job) -> dict[str, float] | None:
    """PSNR, SSIM and MSE against the truth, or None where it is not known."""
    return None if job.clean is None else measure(picture, job.clean, SCORES)


def save(picture: Tensor, job: Job, folder: Path, suffix: str, metadata: Mapping[str, str]) -> str:
    """Write a lossless PNG with the photo's alpha, `folder/<photo>.<suffix>.png`; its path."""
    path = folder / f"{Path(job.photo.name).stem or 'photo'}.{suffix}.png"
    images.save_png(path, picture, job.photo.alpha, metadata=dict(metadata))
    return str(path)


def save_preview(picture: Tensor, job: Job, folder: Path, suffix: str) -> str:
    """Write a picture that is only looked at for a moment: lossless too, but quickly."""
    path = folder / f"{suffix}.png"
    images.to_pil(picture, job.photo.alpha).save(path, compress_level=1)
    return str(path)


def metadata(job: Job, spec: Spec, seed: int, options: Mapping[str, float]) -> dict[str, str]:
    """What it takes to make a restored picture again, to be stored in its file."""
    values = {option.name: option.default for option in spec.options} | dict(options)
    return {
        "Software": "Triptych",
        "method": spec.name,
        "seed": str(seed),
        "options": json.dumps(values),
        "weights_sha256": spec.sha256,
        "damage": job.damage,
    }


@contextmanager
def _without_folder(path: str | Path) -> Iterator[None]:
    try:
        yield
    except images.ImageError as error:
        raise images.ImageError(str(error).replace(str(path), Path(path).name)) from error


def _original(reference: str | Path | None, degraded: Tensor) -> Tensor:
    if reference is None:
        raise ValueError("Give the original of the photo too, or choose “Already degraded”.")
    clean = images.quantise(load(reference).pixels)
    if clean.shape != degraded.shape:
        raise ValueError(
            f"The original is {_size(clean)} pixels and the photo {_size(degraded)}; "
            "both must have the same size."
        )
    return clean


def _size(picture: Tensor) -> str:
    return f"{picture.shape[-1]}×{picture.shape[-2]}"
