"""The comparison the page opens with: a finished one, so that nobody meets an empty form.

`python -m ui` restores a photo with the shipped weights and writes the results into assets/first.
Run it again whenever the weights change; a page whose weights are others does not show what these
made.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from enhancers import images
from enhancers.base import Enhancer, Spec
from ui import examples, job
from ui.job import Job
from ui.watch import CLASSICAL

FOLDER = Path(__file__).parents[1] / "assets" / "first"
EXAMPLE = examples.EXAMPLES[0]
SIDE = 288
"""Longest side in pixels: the results stay small files."""


@dataclass(frozen=True)
class Results:
    """What was made beforehand."""

    pictures: dict[str, Tensor]
    """Panel's key -> (1, 3, H, W) on the 8-bit grid."""
    baseline: str
    """Title of the classical method."""


@functools.cache
def photo() -> str:
    """File of the photo: the first example, shrunk."""
    target = examples.folder() / "first" / EXAMPLE.file
    target.parent.mkdir()
    with Image.open(examples.path(EXAMPLE)) as image:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(target)
    return str(target)


def task() -> Job:
    """The photo, damaged as it is shown."""
    return job.prepare(photo(), EXAMPLE.how, EXAMPLE.degradation)


def load(specs: Mapping[str, Spec], folder: Path) -> Results | None:
    """Return the results if these very weights made them, of this very photo."""
    record = folder / "first.json"
    if not record.exists():
        return None
    made = json.loads(record.read_text(encoding="utf-8"))
    if made["weights"] != {name: spec.sha256 for name, spec in specs.items()}:
        return None
    if made["photo"] != _photo_made():
        return None
    keys = [*made["weights"], CLASSICAL]
    pictures = {}
    for key in keys:
        with Image.open(folder / f"{key}.webp") as image:
            pictures[key] = images.from_uint8(np.asarray(image.convert("RGB")))
    return Results(pictures, made["baseline"])


def write(enhancers: Mapping[str, Enhancer], folder: Path) -> None:
    """Restore the photo, with each method's defaults and seed 0, and write lossless pictures."""
    from enhancers import classical

    given = task()
    baseline = classical.load(job.baseline(given))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "first.json").unlink(missing_ok=True)  # written last: half of it is nothing
    for key, enhancer in (dict(enhancers) | {CLASSICAL: baseline}).items():
        restored = enhancer.restore(given.degraded, given.mask, seed=0)
        images.to_pil(restored).save(folder / f"{key}.webp", lossless=True, quality=100, method=4)
    made = {
        "photo": _photo_made(),
        "damage": given.damage,
        "baseline": baseline.spec.title,
        "weights": {name: enhancer.spec.sha256 for name, enhancer in enhancers.items()},
    }
    (folder / "first.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _photo_made() -> str:
    return f"{EXAMPLE.file} of scikit-image, {EXAMPLE.title}, shrunk to {SIDE} pixels"
