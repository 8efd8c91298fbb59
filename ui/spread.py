"""Where the models are guessing: how much other seeds change, beside how wrong they truly are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from enhancers.base import Spec
from ui import job, markup
from ui.job import Job
from ui.runner import Options, Runner
from ui.viewer import SHOWN, Panel
from ui.watch import View

METHODS = ("gan", "diffusion")
"""Those that draw one of several plausible photos; the VAE gives the mean of its code."""
SEEDS = 4
STEPS = 8
"""Least steps of a method that has them: at one step diffusion gives the mean, without chance."""
NOTHING = 0.05
"""Levels of 255 below which seeds are said to change nothing."""


class Tally:
    """Spread and error over several restorations of one photo, taken in one at a time."""

    def __init__(self, clean: Tensor | None):
        self.clean = clean
        self.count = 0

    def add(self, restored: Tensor) -> None:
        """Take in one restoration, (1, 3, H, W) in [0, 1]."""
        if not self.count:
            self._first = restored
            self._sum, self._squares = torch.zeros_like(restored), torch.zeros_like(restored)
            self._error = torch.zeros_like(restored)
        from_first = restored - self._first  # small numbers, so that their squares keep digits
        self._sum += from_first
        self._squares += from_first.square()
        if self.clean is not None:
            self._error += (restored - self.clean).square()
        self.count += 1

    def spread(self) -> Tensor:
        """Standard deviation over the restorations (of a sample), (H, W) in levels of 255.

        Root-mean-square over the colours. Takes at least two restorations.
        """
        n = self.count
        variance = (self._squares - self._sum.square() / n) / (n - 1)
        return 255 * variance.clamp(min=0)[0].mean(0).sqrt()

    def error(self) -> Tensor | None:
        """Root-mean-square error over restorations and colours, (H, W) in levels of 255."""
        return None if self.clean is None else 255 * (self._error[0].mean(0) / self.count).sqrt()


def watch_spread(
    runner: Runner, task: Job, seed: float, options: Options, folder: Path
) -> Iterator[View]:
    """Restore with `SEEDS` seeds, from `seed` on, and yield what the page shows meanwhile.

    The last view has the maps as panels and, in place of the table, what they say. Closing the
    iterator stops the computation.
    """
    seed = job.check_seed(seed)
    enhancers = [runner.enhancers[name] for name in METHODS if name in runner.enhancers]
    options = {e.spec.name: _drawing(e.spec, options.get(e.spec.name, {})) for e in enhancers}
    tallies = {enhancer.spec.name: Tally(task.clean) for enhancer in enhancers}
    titles = {enhancer.spec.name: enhancer.spec.title for enhancer in enhancers}
    for number in range(SEEDS):
        chance = (seed + number) % (job.LARGEST_SEED + 1)
        run = runner.run(
            task.degraded, task.mask, seed=chance, options=options, enhancers=enhancers
        )
        with closing(run) as updates:
            for update in updates:
                if update.event and update.event.restored is not None:
                    tallies[update.event.name].add(update.event.restored)
                where = f"{titles[update.name]}, " if update.name else ""
                text = f"Seeds: {where}{number + 1} of {SEEDS}"
                yield View(markup.status(text, (number + update.fraction) / SEEDS))
    panels = {}
    for name, tally in tallies.items():
        maps = {"spread": tally.spread(), "error": tally.error()}
        for kind, plane in maps.items():
            if plane is not None:
                panel = _map(f"{name}-{kind}", f"{titles[name]}: {kind}", plane, folder)
                panels[panel.key] = panel
    told = [said(titles[name], tally, options[name]) for name, tally in tallies.items()]
    yield View(markup.status("Done.", 1), markup.paragraphs(told), panels)


def said(title: str, tally: Tally, options: dict[str, float]) -> str:
    """What a method's maps show, in words."""
    spread, error = tally.spread(), tally.error()
    steps = f" in {options['steps']:g} steps" if "steps" in options else ""
    text = f"{title}{steps}: {tally.count} seeds"
    if float(spread.mean()) < NOTHING:
        return f"{text} give the same picture. With these settings it does not guess."
    text = f"{text} differ by {float(spread.mean()):.2f} levels of 255 on average."
    if error is None:
        return text
    share = float(spread.square().mean() / error.square().mean())
    most = spread >= spread.flatten().kthvalue(max(1, int(0.9 * spread.numel()))).values
    there, elsewhere = float(error[most].mean()), float(error[~most].mean())
    return (
        f"{text} Chance makes {share:.0%} of its squared error; the rest is wrong with every seed. "
        f"Where it guesses most, in a tenth of the picture, its error is {there:.1f} levels; "
        f"elsewhere {elsewhere:.1f}."
    )


def _drawing(spec: Spec, options: Mapping[str, float]) -> dict[str, float]:
    """All options of a method, with enough steps to draw a photo."""
    values = {option.name: options.get(option.name, option.default) for option in spec.options}
    return values | {"steps": max(values["steps"], STEPS)} if "steps" in values else values


def _map(key: str, label: str, plane: Tensor, folder: Path) -> Panel:
    """Save numbers as a picture whose scale the caption tells."""
    from enhancers import images
    from ui.inside.pictures import false_colour  # its package imports the tab this belongs to

    high = max(float(plane.flatten().kthvalue(max(1, int(0.99 * plane.numel()))).values), 0.1)
    file = folder / f"{key}.png"
    images.to_pil(false_colour(plane, 0, high)).save(file, compress_level=1)
    return Panel(key, label, f"blue 0, yellow {high:.1f} levels of 255", SHOWN, str(file))
