"""The few controls that matter: what they may be set to, and what one click sets. No layout."""

from __future__ import annotations

from collections.abc import Sequence

from enhancers.base import Enhancer
from enhancers.degradations import DEGRADATIONS

FIDELITY, BALANCED, REALISM = "fidelity", "balanced", "realism"
PRESETS = (
    ("Fidelity: closest to the truth on average, a little soft", FIDELITY),
    ("Balanced: each method as the Leaderboard has it", BALANCED),
    ("Realism: more texture, some of it invented; scores fall", REALISM),
)
_VALUES = {
    FIDELITY: {"realism": 0, "steps": 1},
    BALANCED: {},
    # Chosen on validation photos: twelve steps have nearly the NIQE of sixteen, at more PSNR.
    REALISM: {"realism": 1, "steps": 12},
}


def preset(name: str, enhancers: Sequence[Enhancer]) -> list[float]:
    """Values of all options, in the order of `spec.options`, as a preset has them."""
    options = [option for enhancer in enhancers for option in enhancer.spec.options]
    return [_VALUES[name].get(option.name, option.default) for option in options]


def preset_of(values: Sequence[float], enhancers: Sequence[Enhancer]) -> str | None:
    """The preset that has these values; None where somebody went their own way."""
    names = (BALANCED, FIDELITY, REALISM)
    return next((name for name in names if preset(name, enhancers) == list(values)), None)


def nested(enhancers: Sequence[Enhancer], values: Sequence[float]) -> dict[str, dict[str, float]]:
    """Values of the option sliders, in the order of `spec.options`, by method and option."""
    rest = iter(values)
    return {e.spec.name: {o.name: next(rest) for o in e.spec.options} for e in enhancers}


def severity_slider(name: str) -> dict:
    """Settings of the severity slider for a degradation."""
    kind = DEGRADATIONS[name]
    worse = "" if kind.worse_when_higher else " Lower is worse."
    return {
        "minimum": kind.low,
        "maximum": kind.high,
        "step": kind.step,
        "value": kind.default,
        "label": f"Severity ({kind.unit})",
        "info": kind.help + worse,
    }
