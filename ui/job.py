"""One photo on its way through the page: loaded, damaged or not, scored, saved. No Gradio here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from enhancers import images
from enhancers.base import Spec
from enhancers.degradations import DEGRADATIONS, degrade
from eval.metrics import measure
from ui.bundle import versions

DAMAGE, DEGRADED, REFERENCE = "damage", "degraded", "reference"
"""What a photo is: clean, to be damaged here; degraded; degraded, with its original at hand."""

SCORES = ("psnr", "ssim", "mse")
LARGEST_SEED = 2**32 - 1
MAX_PIXELS = 4096 * 3072
"""Largest photo the page takes: what a phone takes, and what the people in the queue can bear."""

BASELINE_PIXELS, BASELINE_HOLES = 2_000_000, 60_000
"""Pixels, and lost ones among them, up to which a classical method takes seconds."""
SLOW = ("nlm", "lucy")
"""Classical methods that take some 20 s per million pixels."""


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
    degradation: str | None = None
    """Which of `DEGRADATIONS` it was damaged by; None where it came damaged."""
    recipe: Mapping[str, str | float] = field(default_factory=dict)
    """What was asked for, to do the same again."""


def prepare(
    photo: str | Path | None,
    how: str,
    degradation: str = "noise",
    severity: float | None = None,
    seed: float = 0,
    reference: str | Path | None = None,
    mask: str | Path | None = None,
) -> Job:
    """Load a photo and do what `how` says.

    severity: in the unit of the degradation; None takes its default. mask: a picture of the
    photo's size, upright, white where pixels are lost; where the photo is damaged here, they are
    painted over. Raises ValueError, of which `images.ImageError` is one, with a sentence for the
    user.
    """
    if photo is None:
        raise ValueError("Choose a photo first: upload one, or pick an example.")
    loaded = load(photo)
    size = tuple(loaded.pixels.shape[-2:])
    painted = None if mask is None else load_mask(mask, size)
    if how == DAMAGE:
        degraded, lost = damaged(loaded.pixels, degradation, severity, seed)
        if painted is not None:  # as lost as the scratches of `degrade`, and as white
            degraded, lost = torch.maximum(degraded, painted), torch.maximum(lost, painted)
        kind = DEGRADATIONS[degradation]
        amount = kind.default if severity is None else severity
        damage = f"{kind.title} {amount:g} ({kind.unit}), seed {seed:g}{_painted(painted)}"
        clean = images.quantise(loaded.pixels)
        recipe = {"how": how, "degradation": degradation, "severity": amount, "damage_seed": seed}
        return Job(loaded, degraded, lost, clean, damage, degradation, recipe)
    if how not in (DEGRADED, REFERENCE):
        raise ValueError(f"A photo is {DAMAGE!r}, {DEGRADED!r} or {REFERENCE!r}, not {how!r}.")
    degraded = images.quantise(loaded.pixels)
    lost = degraded.new_zeros(1, 1, *size) if painted is None else painted
    clean = _original(reference, degraded) if how == REFERENCE else None
    return Job(loaded, degraded, lost, clean, f"as given{_painted(painted)}", recipe={"how": how})


def load(path: str | Path) -> images.Photo:
    """Load an uploaded photo. Raises `images.ImageError`, naming the file without its folder."""
    with _without_folder(path):
        return images.load(path, max_pixels=MAX_PIXELS)


def load_mask(path: str | Path, size: tuple[int, int]) -> Tensor:
    """Load a mask for a photo of `size` (H, W), white where pixels are lost, (1, 1, H, W).

    Raises `images.ImageError`.
    """
    with _without_folder(path):
        return images.load_mask(path, size)


def baseline(job: Job) -> str | None:
    """Name the method of `enhancers.classical` to hold the networks against on this photo.

    Holes ask for one that fills them. Those that take tens of seconds are passed over, and a photo
    or holes too large for the rest leave None: no classical method can be stopped on its way.
    """
    from enhancers import classical  # scikit-image takes seconds to import

    H, W = job.degraded.shape[-2:]
    holes = int(job.mask.sum())
    if H * W > BASELINE_PIXELS or holes > BASELINE_HOLES:
        return None
    kind = "scratches" if holes else job.degradation or "noise"
    return next(name for name in classical.suited(kind) if name not in SLOW)


def damaged(
    clean: Tensor, degradation: str, severity: float | None = None, seed: float = 0
) -> tuple[Tensor, Tensor]:
    """Damage a photo: (degraded, mask). Raises ValueError for an unknown name, severity or seed."""
    amount = check_damage(degradation, severity)
    generator = torch.Generator().manual_seed(check_seed(seed))
    degraded, mask = degrade(clean, degradation, amount, generator=generator)
    return images.quantise(degraded), mask


def check_damage(degradation: str, severity: float | None = None) -> float:
    """Return the severity, or the default one. Raises ValueError for one that does not exist."""
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
    return amount


def check_seed(seed: float | None) -> int:
    """Return a seed as a whole number. Raises ValueError if it is none, or out of range."""
    if seed is None or not 0 <= seed <= LARGEST_SEED or seed != int(seed):
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


def provenance(job: Job) -> dict[str, str]:
    """What was done to the photo, to be stored in the file of any picture of it."""
    return {
        "Software": "Triptych",
        "photo": job.photo.name,
        "damage": job.damage,
        "recipe": json.dumps(dict(job.recipe)),
        "versions": json.dumps(versions()),
    }


def metadata(job: Job, spec: Spec, seed: int, options: Mapping[str, float]) -> dict[str, str]:
    """What it takes to make a restored picture again, to be stored in its file."""
    values = {option.name: option.default for option in spec.options} | dict(options)
    return provenance(job) | {
        "method": spec.name,
        "seed": str(seed),
        "options": json.dumps(values),
        "weights_sha256": spec.sha256,
    }


@contextmanager
def _without_folder(path: str | Path) -> Iterator[None]:
    try:
        yield
    except images.ImageError as error:
        raise images.ImageError(str(error).replace(str(path), Path(path).name)) from error


def _painted(mask: Tensor | None) -> str:
    """What is to be said of a mask beside the damage."""
    return "" if mask is None else f", {100 * float(mask.mean()):.1f}% masked"


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
