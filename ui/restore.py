"""The Restore tab: one photo in, every method's picture beside it, with scores where possible."""

from __future__ import annotations

import functools
import html
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import gradio as gr

from enhancers.degradations import DEGRADATIONS
from ui import examples, job, markup, region, viewer
from ui.job import DAMAGE, DEGRADED, REFERENCE, Job
from ui.runner import Event, Options, Runner
from ui.viewer import FAILED, RUNNING, SHOWN, WAITING, Panel

INPUT, TRUTH = "input", "truth"

READY = "Ready."
STOPPED = "Stopped."
QUEUED = "Waiting for a turn…"
HOW = (
    ("Clean: damage it here, so that the truth is known", DAMAGE),
    ("Already degraded", DEGRADED),
    ("Already degraded, and I have the original", REFERENCE),
)


def photo_input(**settings) -> gr.Image:
    """Return an image input that hands over the uploaded file itself.

    `gr.Image` opens the file first, and a broken one ends in an exception without a sentence for
    the user; `ui.job.load` judges it instead. (A subclass would make Gradio write a .pyi file.)
    """
    image = gr.Image(type="filepath", format="png", image_mode=None, **settings)
    decode = image.preprocess
    image.preprocess = lambda file: file.path if file and file.path else decode(file)
    return image


def plain_html(value: str, **settings) -> gr.HTML:
    """Return HTML without Gradio's own rules for text and tables."""
    return gr.HTML(value, apply_default_css=False, **settings)


@dataclass(frozen=True)
class View:
    """What changes on the page; pictures and table stay as they are where they are left out."""

    status: str
    table: str | None = None
    panels: dict[str, Panel] = field(default_factory=dict)


def for_people(handler: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """Turn a ValueError of a generator into a message on the page, which shows it as HTML."""

    @functools.wraps(handler)
    def wrapped(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False) from error

    return wrapped


def show_input(task: Job, folder: Path) -> dict[str, Panel]:
    """The photo as the methods will see it, and the truth where it is known."""
    file = job.save(task.degraded, task, folder, INPUT, job.provenance(task))
    size = f"{task.degraded.shape[-1]}×{task.degraded.shape[-2]}"
    panels = {INPUT: Panel(INPUT, "Input", f"{size}, {task.damage}", SHOWN, file)}
    if task.clean is not None:
        file = job.save_preview(task.clean, task, folder, TRUTH)
        panels[TRUTH] = Panel(TRUTH, "Truth", "", SHOWN, file, truth=True)
    return panels


def watch(runner: Runner, task: Job, seed: float, options: Options, folder: Path) -> Iterator[View]:
    """Restore with every method and yield what the page shows meanwhile.

    Closing the iterator stops the computation. Pictures are written to `folder`. A method that
    raises ends the run with its exception, once its panel says so.
    """
    seed = job.check_seed(seed)
    specs = {name: enhancer.spec for name, enhancer in runner.enhancers.items()}
    rows = {INPUT: markup.Row("Input, untouched", job.scores(task.degraded, task), is_input=True)}
    rows |= {name: markup.Row(spec.title) for name, spec in specs.items()}
    scored = task.clean is not None
    waiting = {name: Panel(name, spec.title, "waiting", WAITING) for name, spec in specs.items()}
    panels = show_input(task, folder) | waiting
    yield View(markup.status("Starting", 0), markup.table(list(rows.values()), scored), panels)
    panels, done, total = dict(panels), 0, 0.0
    with closing(runner.run(task.degraded, task.mask, seed=seed, options=options)) as updates:
        try:
            for update in updates:
                table, changed, event = None, {}, update.event
                if event and event.restored is not None:
                    done += 1
                    total += 0 if event.kept else event.seconds
                    name = event.name
                    meta = job.metadata(task, specs[name], seed, options.get(name, {}))
                    meta["seconds"] = f"{event.seconds:.3f}"
                    file = job.save(event.restored, task, folder, name, meta)
                    rows[name] = markup.Row(
                        specs[name].title, job.scores(event.restored, task), event.seconds
                    )
                    table = markup.table(list(rows.values()), scored)
                    note = f"{event.seconds:.1f} s" + event.kept * ", kept from before"
                    changed = {name: replace(panels[name], note=note, state=SHOWN, file=file)}
                elif event:
                    changed = {event.name: at_work(panels[event.name], event, task, folder)}
                panels |= changed
                if done == len(specs):
                    text = "Finishing"
                elif update.name:
                    text = f"{specs[update.name].title} at work ({done + 1} of {len(specs)})"
                else:
                    text = f"Waiting: {update.ahead} before you"
                status = markup.status(text, update.fraction, update.seconds_left)
                yield View(status, table, changed)
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


def nested(enhancers: Sequence, values: Sequence[float]) -> dict[str, dict[str, float]]:
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


def restore_tab(runner: Runner) -> list[gr.components.Component]:
    """Lay out the tab inside the present `gr.Blocks` and connect it.

    Returns the photo and what is done to it: the inputs of `job.prepare`, in their order.
    """
    enhancers = list(runner.enhancers.values())
    first = examples.EXAMPLES[0]

    # Layout: the photo and what was done to it; then the pictures; then the scores.
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            photo = photo_input(
                value=examples.path(first),
                label="Photo",
                sources=["upload", "clipboard", "webcam"],
                height=290,
                buttons=["fullscreen"],
                alt_text="The photo as given",
                elem_id="photo",
            )
            picks = gr.Dataset(
                label="Or try one of these",
                components=[gr.Image(visible=False, format="png")],
                samples=[[examples.thumbnail(example)] for example in examples.EXAMPLES],
                type="index",
                layout="gallery",
                samples_per_page=len(examples.EXAMPLES),
                elem_id="examples",
            )
        with gr.Column(scale=4, min_width=320):
            how = gr.Radio(HOW, value=first.how, label="This photo is", elem_id="how")
            with gr.Group(visible=first.how == DAMAGE) as damage_box:
                with gr.Row():
                    degradation = gr.Dropdown(
                        [(kind.title, name) for name, kind in DEGRADATIONS.items()],
                        value=first.degradation,
                        label="Damage",
                        scale=2,
                        elem_id="degradation",
                    )
                    damage_seed = gr.Number(
                        0, label="Seed", precision=0, minimum=0, min_width=90, elem_id="damage-seed"
                    )
                severity = gr.Slider(**severity_slider(first.degradation), elem_id="severity")
            reference = photo_input(
                visible=False,
                label="Its original, of the same size",
                sources=["upload", "clipboard"],
                height=220,
                buttons=["fullscreen"],
                alt_text="The original of the photo",
                elem_id="reference",
            )
            with gr.Accordion("Options of the methods", open=False):
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed")
                sliders = [
                    gr.Slider(
                        option.low,
                        option.high,
                        option.default,
                        step=1 if option.integer else (option.high - option.low) / 100,
                        label=f"{enhancer.spec.title}: {option.name}",
                        info=option.help,
                        elem_id=f"option-{enhancer.spec.name}-{option.name}",
                    )
                    for enhancer in enhancers
                    for option in enhancer.spec.options
                ]
    with gr.Row(elem_id="bar", equal_height=True):
        start = gr.Button("Restore", variant="primary", min_width=140, elem_id="restore")
        stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="stop")
        with gr.Column(scale=8, min_width=280):
            status = plain_html(markup.status(READY), elem_id="status")
    titles = {name: enhancer.spec.title for name, enhancer in runner.enhancers.items()}
    idle = {name: Panel(name, title, "not run yet") for name, title in titles.items()}
    opening = first_input()
    with viewer.viewer((opening | idle).values(), elem_id="viewer") as pictures:
        inside = plain_html("", elem_id="region")
    with gr.Row(elem_id="downloads"):
        downloads = {
            name: gr.DownloadButton(
                f"Download {title}",
                opening[name].file if name in opening else None,
                size="sm",
                min_width=150,
                interactive=name in opening,
                elem_id=f"download-{name}",
            )
            for name, title in ({INPUT: "input"} | titles).items()
        }
    table = plain_html(markup.empty_table(), elem_id="scores")

    # Handlers that speak Gradio: they only translate.
    def shown(panels: dict[str, Panel], changed: dict[str, Panel], began: float) -> dict:
        """Updates of viewer and buttons for the changed among the panels, which are updated."""
        panels |= {name: viewer.serve(pictures, panel) for name, panel in changed.items()}
        files = {name: panels[name].file for name in changed if name in downloads}
        ready = {name: panels[name].state == SHOWN for name in files}
        return {pictures: viewer.state(panels.values(), began)} | {
            downloads[name]: gr.DownloadButton(
                value=file if ready[name] else None, interactive=ready[name]
            )
            for name, file in files.items()
        }

    @for_people
    def preview(photo, how, degradation, severity, damage_seed, reference):
        began = time.time()
        if photo is None:
            yield shown({}, {INPUT: Panel(INPUT, "Input", "no photo yet")} | idle, began)
            return
        if how == REFERENCE and reference is None:
            how = DEGRADED  # the original may still come
        task = job.prepare(photo, how, degradation, severity, damage_seed, reference)
        with tempfile.TemporaryDirectory() as folder:
            yield shown({}, show_input(task, Path(folder)) | idle, began)

    @for_people
    def restore(photo, how, degradation, severity, damage_seed, reference, seed, *values):
        began, panels = time.time(), {}
        task = job.prepare(photo, how, degradation, severity, damage_seed, reference)
        with tempfile.TemporaryDirectory() as folder:
            views = watch(runner, task, seed, nested(enhancers, values), Path(folder))
            with closing(views):
                for view in views:
                    updates = {status: view.status}
                    if view.table is not None:
                        updates[table] = view.table
                    if view.panels:
                        updates |= shown(panels, view.panels, began)
                    yield updates

    @for_people
    def measure(value: dict, event: gr.EventData):
        if event.region is None:
            yield ""
            return
        where, panels = region.Region(**event.region), viewer.panels_of(value)
        files = {panel.key: panel.file for panel in panels if panel.state == SHOWN}
        rows, truth = None, files.pop(TRUTH, None)
        if truth is not None:
            label = {panel.key: panel.label for panel in panels}
            scores = region.scores(files, truth, where)
            rows = [markup.Row(label[k], v, is_input=k == INPUT) for k, v in scores.items()]
        yield markup.region_table(where, rows)

    def forget():
        return {status: markup.status(READY), table: markup.empty_table()}

    def pick(index: int):
        example = examples.EXAMPLES[index]
        updates = {photo: examples.path(example), how: example.how} | boxes(example.how)
        if example.degradation:
            updates |= {
                degradation: example.degradation,
                severity: gr.Slider(**severity_slider(example.degradation)),
            }
        return updates

    def boxes(how: str) -> dict:
        return {
            damage_box: gr.Group(visible=how == DAMAGE),
            reference: gr.Image(visible=how == REFERENCE),
        }

    def buttons(running: bool, text: str | None = None) -> Callable[[], dict]:
        usable = {start: {"interactive": not running}, stop: {"interactive": running}}

        def update() -> dict:
            result = {button: gr.Button(**how) for button, how in usable.items()}
            return result if text is None else result | {status: markup.status(text)}

        return update

    # Wiring.
    inputs = [photo, how, degradation, severity, damage_seed, reference]
    light = {"show_progress": "hidden", "api_visibility": "private"}
    results = [pictures, *downloads.values()]
    form = [photo, how, damage_box, reference, degradation, severity]
    edited = [part.input for part in (photo, how, severity, damage_seed, reference)]
    show = {
        "fn": preview,
        "inputs": inputs,
        "outputs": results,
        "concurrency_id": "light",
        "concurrency_limit": 4,
        **light,
    }
    how.input(boxes, how, [damage_box, reference], queue=False, **light)
    changed = [
        gr.on(edited, trigger_mode="always_last", **show),
        degradation.input(
            lambda name: gr.Slider(**severity_slider(name)),
            degradation,
            severity,
            queue=False,
            **light,
        ).then(**show),
        picks.click(pick, picks, form, queue=False, **light).then(**show),
    ]
    click = start.click(
        buttons(True, QUEUED), None, [start, stop, status], cancels=changed, queue=False, **light
    )
    run = click.then(
        restore,
        [*inputs, seed, *sliders],
        [status, table, *results],
        concurrency_id="models",
        concurrency_limit=1,
        **light,
    )
    # Gradio cancels only from an event of a component, not from one that follows another. The
    # cancelled run counts as failed, and that comes after its last word; nothing else does.
    gr.on([*edited, degradation.input, picks.click], None, cancels=[run], **light)
    stop.click(None, cancels=[run], **light)
    run.success(buttons(False), None, [start, stop], queue=False, **light)
    run.failure(buttons(False, STOPPED), None, [start, stop, status], queue=False, **light)
    run.failure(None, pictures, pictures, js=viewer.STOP, queue=False, **light)
    pictures.measure(
        measure, pictures, inside, trigger_mode="always_last", concurrency_id="light", **light
    )
    for event in changed:
        event.success(forget, None, [status, table], queue=False, **light)
    return inputs


def first_input() -> dict[str, Panel]:
    """The first example, damaged: the page opens ready for one click."""
    example = examples.EXAMPLES[0]
    folder = examples.folder() / "first"
    folder.mkdir(exist_ok=True)
    task = job.prepare(examples.path(example), example.how, example.degradation)
    return show_input(task, folder)


def warm_up_once(runner: Runner) -> Callable[[], None]:
    """A handler that times the methods in the background at its first call."""
    begun = threading.Lock()

    def handler() -> None:
        if begun.acquire(blocking=False):
            threading.Thread(target=runner.warm_up, daemon=True).start()

    return handler
