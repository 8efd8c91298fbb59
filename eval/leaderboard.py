"""A question put to a results file: who is best at this damage by this metric, and is it sure?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import enhancers
from enhancers import classical
from enhancers.degradations import DEGRADATIONS, Degradation
from eval import protocols
from eval.metrics import METRICS
from eval.statistics import Mean, Rank, mean, ranks, win_rates

ASSETS = Path(__file__).parents[1] / "assets"
LEADERBOARD = ASSETS / "leaderboard.csv"
SPEED = ASSETS / "speed.csv"

INPUT = "input"
"""The method that does nothing."""


@dataclass(frozen=True)
class View:
    """What is asked."""

    dataset: str
    degradation: str
    severity: float
    """In the unit of the degradation."""
    metric: str
    """A key of `METRICS`."""


@dataclass(frozen=True)
class Standing:
    """How one method did."""

    label: str
    """The method with its options, as one types them."""
    mean: Mean
    rank: Rank | None
    """None where neither high nor low is better, and for a method alone."""
    wins: dict[str, float]
    """Share of photos on which it beats each other method, by label; draws count half."""


def scores(photos: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the values asked for, a line per photo and a column per method.

    photos: as from `results.per_photo`. Columns keep the order of the file.
    """
    rows = photos[
        (photos["dataset"] == view.dataset)
        & (photos["degradation"] == view.degradation)
        & (photos["severity"] == view.severity)
        & (photos["metric"] == view.metric)
    ]
    order = list(dict.fromkeys(rows["label"]))
    return rows.pivot(index="image", columns="label", values="value")[order]


def standings(table: pd.DataFrame, metric: str) -> list[Standing]:
    """Return how each method did, the best mean first.

    table: as from `scores`. Without a direction in which the metric is better, the order is the
    file's, and there are neither ranks nor wins.
    """
    higher_is_better = METRICS[metric].higher_is_better
    means = {label: mean(table[label]) for label in table}
    if higher_is_better is None:
        return [Standing(label, means[label], None, {}) for label in table]
    places = ranks(table, higher_is_better) if table.shape[1] > 1 else {}
    wins = win_rates(table, higher_is_better)
    order = sorted(means, key=lambda label: means[label].value, reverse=higher_is_better)
    return [
        Standing(label, means[label], places.get(label), wins.loc[label].dropna().to_dict())
        for label in order
    ]


def title(label: str) -> str:
    """Return a method's name for people: `diffusion:steps=8` -> `Diffusion, steps=8`."""
    name, *options = label.split(":")
    titles = {INPUT: "Degraded input", **enhancers.TITLES, **classical.TITLES}
    return ", ".join([titles.get(name, name), *options])


def kind_of(degradation: str) -> Degradation | None:
    """Return what is known of a degradation of a results file."""
    return DEGRADATIONS.get(protocols.kind(degradation))


def kind_title(degradation: str) -> str:
    """Return a degradation's name for people: `Noise`, `Noise (noise-float)`."""
    kind = kind_of(degradation)
    if kind is None:
        return degradation
    return kind.title if kind.name == degradation else f"{kind.title} ({degradation})"


def damage_title(degradation: str, severity: float) -> str:
    """Return a damage for people: `Noise 25 (sigma, 0-255)`."""
    kind = kind_of(degradation)
    unit = f" ({kind.unit})" if kind else ""
    return f"{kind_title(degradation)} {severity:g}{unit}"


def is_usual(degradation: str, severity: float) -> bool:
    """Tell whether this is the severity a degradation has unless another is asked for."""
    kind = kind_of(degradation)
    return kind is not None and severity == kind.default


def two_of(
    labels: Sequence[str], first: str | None = None, second: str | None = None
) -> tuple[str, str]:
    """Return the two methods chosen, or else the two best that leave the input out.

    labels: the best first.
    """
    best = [label for label in labels if label != INPUT] or list(labels)
    second = second if second in labels else best[0]
    others = [label for label in [*best, *labels] if label != second]
    return first if first in labels else (others or labels)[0], second


def direction(metric: str) -> str:
    """Say which values of a metric are good."""
    higher_is_better = METRICS[metric].higher_is_better
    if higher_is_better is None:
        return "neither higher nor lower is better"
    return "higher is better" if higher_is_better else "lower is better"


def counted(numbers: Sequence[int], noun: str = "photo") -> str:
    """Return `n = 24 photos`, or `n = 24–68 photos` where numbers differ."""
    low, high = min(numbers), max(numbers)
    amount = str(low) if low == high else f"{low}–{high}"
    return f"n = {amount} {noun if high == 1 else noun + 's'}"


def behind(label: str, **which: str | float) -> str:
    """Say in JSON whose photos lie behind a line of a table or a point of a chart.

    which: `severity` or `image`, where it stands for another or for one alone. The page reads it
    when the line or the point is clicked.
    """
    return json.dumps({"label": label, **which})


def published(table: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return the published results of the same test, degradation, severity and metric.

    table: as from `published.read_published`.
    """
    return table[
        (table["test"].str.lower() == view.dataset.lower())
        & (table["degradation"] == view.degradation)
        & (table["severity"] == view.severity)
        & (table["metric"] == view.metric)
    ]
