"""What lies behind a number of the leaderboard: one photo, damaged and restored again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from enhancers import images
from enhancers.base import Enhancer
from eval import benchmark, protocols
from eval.datasets import Dataset
from eval.leaderboard import INPUT, View, damage_title, title
from eval.metrics import METRICS
from ui.viewer import SHOWN, Panel

TRUTH, RESTORED = "truth", "restored"


def default_image(values: pd.Series, metric: str) -> str:
    """Return the photo on which a method did worst: what one wants to see first.

    values: by photo. Where neither high nor low is better, the first.
    """
    higher = METRICS[metric].higher_is_better
    if higher is None:
        return values.index[0]
    return values.idxmin() if higher else values.idxmax()


def pictures(
    dataset: Dataset,
    view: View,
    label: str,
    image: str,
    enhancers: Mapping[str, Enhancer],
    folder: Path,
) -> list[Panel]:
    """Make the pictures of one measurement again, with seed 0, as PNG files in `folder`.

    enhancers: those that are loaded, by name. Raises ValueError where the photo is not there any
    more.
    """
    entry = next((entry for entry in dataset if entry.name == image), None)
    if entry is None:
        raise ValueError(f"{image} is not among the photos of {dataset.name} on this server.")
    clean = protocols.truth(entry.load(), view.degradation)
    degraded, mask = protocols.damage(clean, image, view.degradation, view.severity)
    shown = {
        TRUTH: ("Truth", image, clean),
        INPUT: (title(INPUT), damage_title(view.degradation, view.severity), degraded),
    }
    if label != INPUT:
        (method,) = benchmark.parse_methods(label)
        restorers, _ = benchmark.load_restorers([method], "cpu", enhancers)
        shown[RESTORED] = (title(label), "", restorers[method](degraded, mask, 0))
    panels = []
    for key, (name, note, pixels) in shown.items():
        file = folder / f"{key}.png"
        images.to_pil(pixels).save(file, compress_level=1)
        panels.append(Panel(key, name, note, SHOWN, str(file), truth=key == TRUTH))
    return panels
