"""A link that sets the page up as it was for a result. No Gradio here."""

from __future__ import annotations

import filecmp
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from enhancers.base import Enhancer
from ui import examples, first, job
from ui.job import DAMAGE, DEGRADED, REFERENCE

_KINDS = (DAMAGE, DEGRADED, REFERENCE)


@dataclass(frozen=True)
class Settings:
    """What a link tells; what it leaves out is None, and stays as it is on the page."""

    photo: str | None = None
    """One of `photos()`. Photos of visitors are in no link: they are theirs."""
    how: str | None = None
    degradation: str | None = None
    severity: float | None = None
    damage_seed: int | None = None
    seed: int | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    """By method and option, as in `diffusion.steps`."""


def query(settings: Settings) -> str:
    """Return the part of an address behind the question mark."""
    names = ("photo", "how", "degradation", "severity", "damage_seed", "seed")
    values = {name: getattr(settings, name) for name in names} | dict(settings.options)
    return urlencode({key: _text(value) for key, value in values.items() if value is not None})


def parse(values: Mapping[str, str], enhancers: Sequence[Enhancer]) -> Settings:
    """Read and check what a link says. Raises ValueError with a sentence for the user.

    Names that are none of ours are left alone: hosts add their own to an address.
    """
    photo, how, degradation = (values.get(name) for name in ("photo", "how", "degradation"))
    if photo not in (None, *photos()):
        raise ValueError(f"There is no example {photo!r}; there are {', '.join(photos())}.")
    if how not in (None, *_KINDS):
        raise ValueError(f"A photo is {', '.join(_KINDS)}, but this link says {how!r}.")
    severity, damage_seed, seed = (
        _number(values, name) for name in ("severity", "damage_seed", "seed")
    )
    if degradation is not None:
        severity = job.check_damage(degradation, severity)
    return Settings(
        photo=photo,
        how=how,
        degradation=degradation,
        severity=None if degradation is None else severity,
        damage_seed=None if damage_seed is None else job.check_seed(damage_seed),
        seed=None if seed is None else job.check_seed(seed),
        options={
            name: option.check(_number(values, name))
            for enhancer in enhancers
            for option in enhancer.spec.options
            if (name := option_name(enhancer, option.name)) in values
        },
    )


def option_name(enhancer: Enhancer, option: str) -> str:
    """How a link names an option."""
    return f"{enhancer.spec.name}.{option}"


@functools.cache
def photos() -> dict[str, str]:
    """Files of the page's own photos by the names that links give them."""
    return {"first": first.photo()} | {
        Path(example.file).stem: examples.path(example) for example in examples.EXAMPLES
    }


def name_of(photo: str) -> str | None:
    """Name of the page's own photo that a file is a copy of; None for a visitor's."""
    alike = (n for n, own in photos().items() if filecmp.cmp(photo, own, shallow=False))
    return next(alike, None)


def _number(values: Mapping[str, str], name: str) -> float | None:
    if name not in values:
        return None
    try:
        return float(values[name])
    except ValueError:
        raise ValueError(f"{name} must be a number, but this link says {values[name]!r}.") from None


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"
