"""What chance allows to say: intervals of means, win rates, paired tests, and ranks with ties.

Methods are compared photo by photo, so most functions take `scores`: a table with a line per
photo and a column per method, the seeds of a photo averaged before. A photo counts in a comparison
where both methods have a number.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
"""Chance of calling at least one difference real in a table where none is."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Mean:
    """A mean over photos and the interval that covers the true mean 95 times in 100."""

    value: float
    low: float
    """nan, like `high`, where the photos are too few for an interval."""
    high: float
    n: int


@dataclass(frozen=True)
class Rank:
    """The places a method may hold, from 1: those that the other methods leave to it."""

    best: int
    worst: int

    @property
    def tied(self) -> bool:
        """Whether the photos do not decide between several places."""
        return self.best < self.worst

    def __str__(self) -> str:
        return f"{self.best}–{self.worst}, tied" if self.tied else str(self.best)


def mean(values: np.ndarray) -> Mean:
    """Return the mean of one value per photo with its bootstrap interval.

    The interval is the same at every call and whatever the order of the photos. nan values are
    left out; a single value, or an infinite one, leaves no interval.
    """
    values = np.asarray(values, dtype=float)
    values = np.sort(values[~np.isnan(values)])
    if len(values) == 0:
        return Mean(np.nan, np.nan, np.nan, 0)
    value = float(values.mean())
    if len(values) == 1 or not np.isfinite(values).all():
        return Mean(value, np.nan, np.nan, len(values))
    if values[0] == values[-1]:
        return Mean(value, value, value, len(values))
    return Mean(value, *_bootstrap(tuple(values.tolist())), len(values))


@functools.lru_cache(maxsize=4096)
def _bootstrap(values: tuple[float, ...]) -> tuple[float, float]:
    """Draw photos again with replacement: the bias-corrected and accelerated interval.

    Efron 1987, "Better bootstrap confidence intervals". It takes 20 ms, and several tables and
    charts ask for the same one.
    """
    interval = stats.bootstrap(
        (np.array(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def win_rates(scores: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """Return the share of photos on which the method of the line beats that of the column.

    A draw counts half, so that the rates of a pair add up to 1. nan on the diagonal and where two
    methods have no photo in common.
    """
    rates = pd.DataFrame(np.nan, index=scores.columns, columns=scores.columns, dtype=float)
    for a, b in combinations(scores.columns, 2):
        gains = _gains(scores, a, b, higher_is_better)
        if len(gains):
            rates.loc[a, b] = ((gains > 0).mean() + (gains >= 0).mean()) / 2
            rates.loc[b, a] = 1 - rates.loc[a, b]
    return rates


def paired_tests(scores: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair of methods, the chance of so large a difference if there were none.

    Wilcoxon signed-rank test, two-sided, over the photos of both; then Holm's correction (Holm
    1979, "A simple sequentially rejective multiple test procedure") over all pairs, so that a
    table of many methods does not find differences by sheer number. 1 on the diagonal.
    """
    tests = pd.DataFrame(1.0, index=scores.columns, columns=scores.columns)
    pairs = list(combinations(scores.columns, 2))
    raw = [_wilcoxon(_gains(scores, a, b, higher_is_better=True)) for a, b in pairs]
    for (a, b), p in zip(pairs, holm(raw), strict=True):
        tests.loc[a, b] = tests.loc[b, a] = p
    return tests


def holm(p_values: list[float]) -> list[float]:
    """Return p-values corrected for their number after Holm 1979, in the order given."""
    count = len(p_values)
    corrected = np.ones(count)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (count - place) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected.tolist()


def ranks(scores: pd.DataFrame, higher_is_better: bool) -> dict[str, Rank]:
    """Return the places each method may hold.

    A method is behind those that beat it in the paired test, and ahead of those it beats; what
    the test leaves open stays open. A method may thus tie with two that do not tie.
    """
    tests = paired_tests(scores)
    found = {}
    for method in scores.columns:
        behind = ahead = 0
        for other in scores.columns:
            if tests.loc[method, other] < ALPHA:
                won = _beats(_gains(scores, method, other, higher_is_better))
                ahead, behind = ahead + won, behind + (not won)
        found[method] = Rank(1 + behind, len(scores.columns) - ahead)
    return found


def _gains(scores: pd.DataFrame, a: str, b: str, higher_is_better: bool) -> np.ndarray:
    """How much better `a` is than `b`, photo by photo; 0 where both are equal, infinite or not."""
    both = scores[[a, b]].dropna()
    x, y = both[a].to_numpy(), both[b].to_numpy()
    with np.errstate(invalid="ignore"):  # inf - inf
        gains = np.where(x == y, 0.0, x - y)
    return gains if higher_is_better else -gains


def _wilcoxon(gains: np.ndarray) -> float:
    if not gains.any():
        return 1.0
    return float(stats.wilcoxon(gains).pvalue)


def _beats(gains: np.ndarray) -> bool:
    """Whether the signed ranks, which the test adds up, are in favour."""
    places = stats.rankdata(np.abs(gains))
    return bool((np.sign(gains) * places).sum() > 0)
