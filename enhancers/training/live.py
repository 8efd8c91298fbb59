"""Train a tiny model for minutes on a handful of photos, to be watched: the same loop, small.

A run lives in a temporary folder, which is gone when it ends, however it ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from enhancers import images
from enhancers.degradations import DEGRADATIONS
from enhancers.gan import DiscriminatorConfig
from enhancers.inside import fitted
from enhancers.ladder import LadderConfig
from enhancers.training.loop import Loop, Settings, mean_psnr
from enhancers.training.recipe import Recipe

MODELS = ("vae", "gan", "diffusion")
SIDE, TEST_SIDE = 512, 256
"""Pixels: photos are shrunk to the first, and the middle of the test photo is shown."""
INTERVAL = 2.0
"""Seconds of training between two moments that are shown."""

LADDER = LadderConfig(widths=(32, 24, 16), latents=(4, 4, 12))
DISCRIMINATOR = DiscriminatorConfig(widths=(16, 24, 32))
UNET_WIDTHS = (16, 24, 32)


@dataclass(frozen=True)
class Moment:
    """How a run stands."""

    seconds: float
    """Of training."""
    fraction: float
    """Of the run that is done."""
    steps: int
    losses: dict[str, float]
    """Means since the last moment, by the names of `Recipe.step`; none before the first step."""
    clean: Tensor
    """The test photo, (1, 3, S, S) in [0, 1]."""
    degraded: Tensor
    """(1, 3, S, S), neutral grey under the mask."""
    mask: Tensor
    """(1, 1, S, S), 1 where a pixel is unknown."""
    restored: Tensor
    """By the averaged network, (1, 3, S, S) in [0, 1]."""
    psnr_db: float
    """Of what is restored."""


def train(
    model: str,
    damage: str,
    photos: Sequence[Tensor],
    *,
    minutes: float | None = None,
    steps: int | None = None,
) -> Iterator[Moment]:
    """Train one of `MODELS` for one kind of damage; yields about every `INTERVAL`.

    photos: each (1, 3, H, W) in [0, 1]. The first is the test and is not trained on. minutes,
    steps: one of them is the length of the run; what is done between two moments does not count.
    The first moment comes before the first step. Closing the iterator ends the run.
    Raises ValueError for an unknown model or damage, fewer than two photos, or no length.
    """
    if model not in MODELS:
        raise ValueError(f"There is no model {model!r}; there are {', '.join(MODELS)}.")
    if damage not in DEGRADATIONS:
        raise ValueError(f"There is no damage {damage!r}; there are {', '.join(DEGRADATIONS)}.")
    if len(photos) < 2:
        raise ValueError(f"Expected a photo to test on and others to train on, got {len(photos)}.")
    if (minutes or steps or 0) <= 0:
        raise ValueError("Expected a length above 0, in minutes or in steps.")
    with tempfile.TemporaryDirectory(prefix="triptych-training-") as name:
        folder = Path(name)
        test, *others = (fitted(photo, SIDE) for photo in photos)
        _write([fitted(test, 3 * TEST_SIDE // 2)], folder / "test")
        _write(others, folder / "photos")
        settings = Settings(
            model,
            folder / "photos",
            folder / "test",
            folder / "run",
            minutes=minutes,
            steps=steps,
            val_photos=1,
            val_size=min(TEST_SIDE, *fitted(test, TEST_SIDE * 3 // 2).shape[-2:]),
            lift_steps=150 if damage == "dark" else 1,
            router_steps=0,
            damage=damage,
        )
        loop = Loop(tiny_recipe(model), settings, say=lambda line: None)
        yield _moment(loop, damage, [])
        logged, shown = [], 0.0
        with closing(loop.steps()) as walk:
            for values in walk:
                logged.append(values)
                if loop.elapsed - shown >= INTERVAL or loop.progress >= 1:
                    yield _moment(loop, damage, logged)
                    logged, shown = [], loop.elapsed


def tiny_recipe(model: str) -> Recipe:
    """Return the recipe of one of `MODELS`, for a network of about a tenth of the shipped size."""
    if model == "vae":
        from enhancers.training.vae import VAERecipe

        recipe = VAERecipe(LADDER)
    elif model == "gan":
        from enhancers.training.gan import GANRecipe

        recipe = GANRecipe(LADDER, DISCRIMINATOR)
    else:
        from enhancers.diffusion import RestorationUNet
        from enhancers.training.diffusion import DiffusionRecipe

        recipe = DiffusionRecipe(LADDER, RestorationUNet(UNET_WIDTHS))
    # So little is learnt in a minute that many quick steps count for more than good gradients.
    recipe.batch_size, recipe.crop, recipe.late_crop = 8, 48, 64
    recipe.learning_rate, recipe.warmup = 2e-3, 20
    return recipe


def _write(photos: Sequence[Tensor], folder: Path) -> None:
    folder.mkdir()
    for i, photo in enumerate(photos):
        images.save_png(folder / f"{i:03}.png", photo)


def _moment(loop: Loop, damage: str, logged: Sequence[dict[str, Tensor]]) -> Moment:
    clean, _, degraded, mask, _ = loop.val[damage]
    restored = loop.restored(damage).clamp(0, 1)
    names = dict.fromkeys(name for values in logged for name in values)
    return Moment(
        seconds=loop.elapsed,
        fraction=min(1.0, loop.progress),
        steps=loop.step,
        losses={
            name: float(torch.stack([v[name] for v in logged if name in v]).mean())
            for name in names
        },
        clean=clean,
        degraded=torch.lerp(degraded, torch.full_like(degraded, 0.5), mask),
        mask=mask,
        restored=restored,
        psnr_db=mean_psnr(restored, clean),
    )
