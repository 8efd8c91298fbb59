"""A run as the page shows it: panels, scores and progress, step by step. No Gradio here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from enhancers.base import Spec
from ui import job, markup
from ui.job import Job
from ui.runner import Event, Options, Runner
from ui.viewer import FAILED, RUNNING, SHOWN, WAITING, Panel

INPUT, TRUTH, CLASSICAL = "input", "truth", "classical"
"""Keys of panels beside those of the enhancers, which are their names."""


@dataclass(frozen=True)
class View:
    """What changes on the page; pictures and table stay as they are where they are left out."""

    status: str
    table: str | None = None
    panels: dict[str, Panel] = field(default_factory=dict)


def show_input(task: Job, folder: Path) -> dict[str, Panel]:
    """The photo as the methods will see it, and the truth where it is known."""
    file = job.save(task.degraded, task, folder, INPUT, job.provenance(task))
    size = f"{task.degraded.shape[-1]}×{task.degraded.shape[-2]}"
    panels = {INPUT: Panel(INPUT, "Input", f"{size}, {task.damage}", SHOWN, file)}
    if task.clean is not None:
        file = job.save_preview(task.clean, task, folder, TRUTH)
        panels[TRUTH] = Panel(TRUTH, "Truth", "", SHOWN, file, truth=True)
    return panels


def empty_panel(key: str, spec: Spec | None = None, note: str = "not run yet") -> Panel:
    """The place of a result. spec: of the enhancer; None for the classical method."""
    return Panel(key, "Classical" if spec is None else spec.title, note)


def in_order(panels: Mapping[str, Panel]) -> list[Panel]:
    """The input and the networks' results, side by side, before what they are held against."""
    last = {TRUTH: 1, CLASSICAL: 2}
    return sorted(panels.values(), key=lambda panel: last.get(panel.key, 0))


def input_row(task: Job) -> markup.Row:
    """The line of the table that all others are held against."""
    return markup.Row("Input, untouched", job.scores(task.degraded, task), is_input=True)


def classical_row(title: str) -> markup.Row:
    """The line of a classical method, before it has run."""
    return markup.Row(f"Classical: {title.lower()}")


def finished(panel: Panel, row: markup.Row, first: markup.Row, file: str, note: str = "") -> Panel:
    """The panel of a result. first: the line of the input. note: what else is to be said of it."""
    parts = [markup.gain(row, first), "" if row.seconds is None else f"{row.seconds:.1f} s", note]
    return replace(panel, note=", ".join(filter(None, parts)), state=SHOWN, file=file)


def settings(task: Job, specs: Mapping[str, Spec], seed: float, options: Options) -> str:
    """All that it takes to get the same pixels again, in one line."""
    chosen = [
        f"{spec.title} {option.name} {options.get(name, {}).get(option.name, option.default):g}"
        for name, spec in specs.items()
        for option in spec.options
    ]
    return ". ".join([f"Input: {task.damage}", ", ".join([f"Seed {seed:g}", *chosen])]) + "."


def watch(runner: Runner, task: Job, seed: float, options: Options, folder: Path) -> Iterator[View]:
    """Restore with every method and yield what the page shows meanwhile.

    Closing the iterator stops the computation. Pictures are written to `folder`. A method that
    raises ends the run with its exception, once its panel says so.
    """
    seed = job.check_seed(seed)
    enhancers = dict(runner.enhancers)
    name = job.baseline(task)
    if name is not None:
        from enhancers import classical  # scikit-image takes seconds to import

        enhancers[CLASSICAL] = classical.load(name)
    specs = {key: enhancer.spec for key, enhancer in enhancers.items()}
    keys = {spec.name: key for key, spec in specs.items()}
    first = input_row(task)
    rows = {INPUT: first} | {key: markup.Row(spec.title) for key, spec in specs.items()}
    if CLASSICAL in specs:
        rows[CLASSICAL] = classical_row(specs[CLASSICAL].title)
    told = settings(task, {name: specs[name] for name in runner.enhancers}, seed, options)
    scored = task.clean is not None

    def table() -> str:
        return markup.table(list(rows.values()), scored, told)

    waiting = {
        key: replace(empty_panel(key, None if key == CLASSICAL else spec, "waiting"), state=WAITING)
        for key, spec in specs.items()
    }
    panels = show_input(task, folder) | waiting
    yield View(markup.status("Starting", 0), table(), panels)
    panels, done, total = dict(panels), 0, 0.0
    run = runner.run(
        task.degraded, task.mask, seed=seed, options=options, enhancers=list(enhancers.values())
    )
    with closing(run) as updates:
        try:
            for update in updates:
                changed, event = {}, update.event
                key = keys.get(event.name) if event else None
                if event and event.restored is not None:
                    done += 1
                    total += 0 if event.kept else event.seconds
                    spec = specs[key]
                    meta = job.metadata(task, spec, seed, options.get(event.name, {}))
                    meta["seconds"] = f"{event.seconds:.3f}"
                    file = job.save(event.restored, task, folder, event.name, meta)
                    rows[key] = replace(
                        rows[key],
                        scores=job.scores(event.restored, task),
                        seconds=event.seconds,
                    )
                    extra = [spec.title] * (key == CLASSICAL) + ["kept from before"] * event.kept
                    changed[key] = finished(panels[key], rows[key], first, file, ", ".join(extra))
                elif event:
                    changed[key] = at_work(panels[key], event, task, folder)
                panels |= changed
                if done == len(specs):
                    text = "Finishing"
                elif update.name:
                    text = f"{specs[keys[update.name]].title} at work ({done + 1} of {len(specs)})"
                else:
                    text = f"Waiting: {update.ahead} before you"
                status = markup.status(text, update.fraction, update.seconds_left)
                scores = table() if event and event.restored is not None else None
                yield View(status, scores, changed)
        except Exception as error:
            yield View(markup.status("Failed"), panels=failed(panels, error))
            raise
    yield View(markup.status(f"Done in {total:.1f} s.", 1))


def at_work(panel: Panel, event: Event, task: Job, folder: Path) -> Panel:
    """The panel of a method that has begun, or done a step."""
    percent = 100 * event.step // event.steps if event.steps else 0
    panel = replace(panel, note=f"running {percent}%", state=RUNNING)
    if event.preview is None:
        return panel
    file = job.save_preview(event.preview, task, folder, f"{event.name}.preview")
    return replace(panel, note=f"estimate after {percent}% of the steps", file=file)


def failed(panels: dict[str, Panel], error: Exception) -> dict[str, Panel]:
    """The panel of the method that was at work when the error came."""
    reason = str(error) if isinstance(error, ValueError) else "an error on the server"
    return {
        name: replace(panel, note=f"failed: {reason}", state=FAILED, file=None)
        for name, panel in panels.items()
        if panel.state == RUNNING
    }
