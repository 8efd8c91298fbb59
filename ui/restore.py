"""The Restore tab: one photo in, every method's picture beside it, with scores where possible."""

from __future__ import annotations

import functools
import html
import tempfile
import threading
import time
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.events import Dependency
from PIL import Image

from enhancers import images
from enhancers.degradations import DEGRADATIONS
from ui import controls, examples, first, job, markup, region, viewer
from ui.controls import BALANCED, PRESETS, nested, severity_slider
from ui.job import DAMAGE, DEGRADED, REFERENCE
from ui.runner import Runner
from ui.spread import SEEDS, watch_spread
from ui.viewer import SHOWN, Panel
from ui.watch import (
    CLASSICAL,
    INPUT,
    TRUTH,
    View,
    classical_row,
    empty_panel,
    finished,
    in_order,
    input_row,
    settings,
    show_input,
    watch,
)

READY = "Ready."
MADE = "An example, restored beforehand. Choose a photo of yours, or press Restore."
STOPPED = "Stopped."
QUEUED = "Waiting for a turn…"
TIMED = 120.0
"""Seconds to wait for the methods to be timed before the button goes without an estimate."""
HOW = (
    ("Clean: damage it here, so that the truth is known", DAMAGE),
    ("Already degraded", DEGRADED),
    ("Already degraded, and I have the original", REFERENCE),
)


def photo_input(**settings) -> gr.Image:
    """Return an image input that hands over the uploaded file itself.

    `gr.Image` opens the file first, and a broken one ends in an exception without a sentence for
    the user; `ui.job.load` judges it instead.
    """
    return _FileImage(type="filepath", format="png", image_mode=None, **settings)


def _file(image: gr.Image, file: ImageData | None) -> str | None:
    return file.path if file and file.path else gr.Image.preprocess(image, file)


# Of the same name, and made without Gradio's metaclass, which would write a .pyi file. An update
# makes a component anew from its class, so that a method of the instance would be lost.
_FileImage = ABCMeta.__new__(type(gr.Image), "Image", (gr.Image,), {"preprocess": _file})


def plain_html(value: str, **settings) -> gr.HTML:
    """Return HTML without Gradio's own rules for text and tables."""
    return gr.HTML(value, apply_default_css=False, **settings)


def for_people(handler: Callable[..., Iterator]) -> Callable[..., Iterator]:
    """Turn a ValueError of a generator into a message on the page, which shows it as HTML."""

    @functools.wraps(handler)
    def wrapped(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False) from error

    return wrapped


@dataclass(frozen=True)
class Form:
    """The parts of the tab that others read, set or listen to."""

    photo: gr.Image
    how: gr.Radio
    damage_box: gr.Group
    degradation: gr.Dropdown
    severity: gr.Slider
    damage_seed: gr.Number
    reference: gr.Image
    mask: gr.Image
    preset: gr.Radio
    seed: gr.Number
    sliders: Sequence[gr.Slider]
    """In the order of the enhancers and their `spec.options`."""
    pictures: gr.HTML
    table: gr.HTML
    status: gr.HTML
    downloads: Mapping[str, gr.DownloadButton]
    run: Dependency
    """The event that restores."""
    show: Mapping
    """Settings of the event that shows the input and forgets the results."""

    @property
    def given(self) -> list[gr.components.Component]:
        """The photo and what is done to it: inputs of `job.prepare`, in their order."""
        damage = [self.degradation, self.severity, self.damage_seed]
        return [self.photo, self.how, *damage, self.reference]


def restore_tab(runner: Runner) -> Form:
    """Lay out the tab inside the present `gr.Blocks` and connect it."""
    enhancers = list(runner.enhancers.values())
    specs = {name: enhancer.spec for name, enhancer in runner.enhancers.items()}
    example = first.EXAMPLE
    opening = opening_view(runner)

    # Layout: what to do above the photo and the pictures, which stand beside each other.
    with gr.Row(elem_id="bar", equal_height=True):
        start = gr.Button(
            markup.restore_label(None), variant="primary", min_width=250, elem_id="restore"
        )
        stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="stop")
        with gr.Column(scale=8, min_width=280):
            status = plain_html(opening.status, elem_id="status")
    with gr.Row(elem_id="bench", equal_height=False):
        with gr.Column(elem_id="form"):
            photo = photo_input(
                value=first.photo(),
                label="Photo",
                sources=["upload", "clipboard", "webcam"],
                height=230,
                buttons=["fullscreen"],
                alt_text="The photo as given",
                elem_id="photo",
            )
            picks = gr.Dataset(
                label="Or try one of these",
                components=[gr.Image(visible=False, format="png")],
                samples=[[examples.thumbnail(one)] for one in examples.EXAMPLES],
                type="index",
                layout="gallery",
                samples_per_page=len(examples.EXAMPLES),
                elem_id="examples",
            )
            how = gr.Radio(HOW, value=example.how, label="This photo is", elem_id="how")
            with gr.Group(visible=example.how == DAMAGE) as damage_box:
                with gr.Row():
                    degradation = gr.Dropdown(
                        [(kind.title, name) for name, kind in DEGRADATIONS.items()],
                        value=example.degradation,
                        label="Damage",
                        scale=2,
                        min_width=150,
                        elem_id="degradation",
                    )
                    damage_seed = gr.Number(
                        0, label="Seed", precision=0, minimum=0, min_width=90, elem_id="damage-seed"
                    )
                severity = gr.Slider(**severity_slider(example.degradation), elem_id="severity")
            reference = photo_input(
                visible=False,
                label="Its original, of the same size",
                sources=["upload", "clipboard"],
                height=220,
                buttons=["fullscreen"],
                alt_text="The original of the photo",
                elem_id="reference",
            )
            with gr.Accordion("Scratches and holes: a mask", open=False, elem_id="mask-box"):
                gr.Markdown(
                    "Mark what is lost, or what should go, and the methods invent what was there.",
                    elem_classes="small-print",
                )
                paint = gr.Button("Paint it on the photo", size="sm", elem_id="paint")
                mask = photo_input(
                    label="Or a picture: white is lost",
                    sources=["upload", "clipboard"],
                    height=180,
                    buttons=["fullscreen"],
                    alt_text="The mask: white where pixels are lost",
                    elem_id="mask",
                )
            preset = gr.Radio(PRESETS, value=BALANCED, label="Aim for", elem_id="preset")
            with gr.Accordion("Each method's own options", open=False, elem_id="options"):
                seed = gr.Number(
                    0,
                    label="Seed",
                    info="Another seed, another guess; the same seed, the same pixels.",
                    precision=0,
                    minimum=0,
                    elem_id="seed",
                )
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
            reset = gr.Button("Reset all settings", size="sm", elem_id="reset")
        with (
            gr.Column(elem_id="pictures"),
            viewer.viewer(in_order(opening.panels), elem_id="viewer") as pictures,
        ):
            inside = plain_html("", elem_id="region")
        with gr.Column(elem_id="numbers"):
            with gr.Row(elem_id="downloads"):
                titles = {INPUT: "input"} | {name: spec.title for name, spec in specs.items()}
                downloads = {
                    name: gr.DownloadButton(
                        f"Download {title}",
                        opening.panels[name].file,
                        size="sm",
                        min_width=150,
                        interactive=opening.panels[name].file is not None,
                        elem_id=f"download-{name}",
                    )
                    for name, title in titles.items()
                }
            table = plain_html(opening.table, elem_id="scores")
            with gr.Accordion("Where are the models guessing?", open=False, elem_id="guessing"):
                gr.Markdown(
                    f"The GAN and the diffusion model can give many pictures for one photo. This "
                    f"restores it with {SEEDS} seeds and maps how much the pictures differ, beside "
                    "how wrong they are where the truth is known.",
                    elem_classes="small-print",
                )
                guess = gr.Button(f"Restore with {SEEDS} seeds", size="sm", elem_id="guess")
                guessed = plain_html("", elem_id="guessed")
                maps = viewer.viewer([], elem_id="maps", visible=False)
    size = gr.State(first.task().mask.numel())

    # Handlers that speak Gradio: they only translate.
    def shown(panels: dict[str, Panel], changed: dict[str, Panel], began: float) -> dict:
        """Updates of viewer and buttons for the changed among the panels, which are updated."""
        panels |= {name: viewer.serve(pictures, panel) for name, panel in changed.items()}
        files = {name: panels[name].file for name in changed if name in downloads}
        ready = {name: panels[name].state == SHOWN for name in files}
        return {pictures: viewer.state(in_order(panels), began)} | {
            downloads[name]: gr.DownloadButton(
                value=file if ready[name] else None, interactive=ready[name]
            )
            for name, file in files.items()
        }

    idle = {name: empty_panel(name, spec) for name, spec in specs.items()}
    idle[CLASSICAL] = empty_panel(CLASSICAL)
    lines = [markup.Row(spec.title) for spec in specs.values()]

    @for_people
    def preview(photo, how, degradation, severity, damage_seed, reference, mask):
        began = time.time()
        if photo is None:
            empty = {INPUT: Panel(INPUT, "Input", "no photo yet")} | idle
            rows = [markup.Row("Input, untouched", is_input=True), *lines]
            yield shown({}, empty, began) | {table: markup.table(rows, scored=False)}
            return
        if how == REFERENCE and reference is None:
            how = DEGRADED  # the original may still come
        task = job.prepare(photo, how, degradation, severity, damage_seed, reference, mask)
        rows = [input_row(task), *lines, markup.Row("Classical")]
        with tempfile.TemporaryDirectory() as folder:
            yield shown({}, show_input(task, Path(folder)) | idle, began) | {
                table: markup.table(rows, task.clean is not None, f"Input: {task.damage}."),
                size: task.mask.numel(),
            }

    @for_people
    def restore(photo, how, degradation, severity, damage_seed, reference, mask, seed, *values):
        began, panels = time.time(), {}
        task = job.prepare(photo, how, degradation, severity, damage_seed, reference, mask)
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
            # Of updates that arrive before the answer to the click, Gradio shows only the last.
            yield shown(panels, panels, began)

    @for_people
    def spread(photo, how, degradation, severity, damage_seed, reference, mask, seed, *values):
        task = job.prepare(photo, how, degradation, severity, damage_seed, reference, mask)
        with tempfile.TemporaryDirectory() as folder:
            views = watch_spread(runner, task, seed, nested(enhancers, values), Path(folder))
            with closing(views):
                for view in views:
                    updates = {status: view.status}
                    if view.panels:
                        served = [viewer.serve(maps, panel) for panel in view.panels.values()]
                        updates[maps] = gr.HTML(viewer.state(served), visible=True)
                        updates[guessed] = view.table
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

    @for_people
    def painted(event: gr.EventData):
        content = viewer.mask_of(event.mask)
        if content is None:
            yield None
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "mask.png"
            file.write_bytes(content)
            yield str(file)

    @for_people
    def uploaded(photo, mask):
        """The mask as white on black, upright, or the reason why it is none."""
        if photo is None:
            raise ValueError("Choose a photo first, and then its mask.")
        if mask is None:
            yield None
            return
        given = job.load(photo)
        lost = job.load_mask(mask, (given.height, given.width))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "mask.png"
            Image.fromarray(images.to_uint8(lost.expand(-1, 3, -1, -1))[..., 0]).save(file)
            yield str(file)

    def told(pixels: int, *values):
        runner.warmed.wait(TIMED)
        return gr.Button(markup.restore_label(runner.estimate(pixels, nested(enhancers, values))))

    def forget():
        return {status: markup.status(READY), maps: gr.HTML(visible=False), guessed: ""}

    def pick(index: int):
        chosen = examples.EXAMPLES[index]
        updates = {photo: examples.path(chosen), how: chosen.how, mask: None} | boxes(chosen.how)
        if chosen.degradation:
            updates |= {
                degradation: chosen.degradation,
                severity: gr.Slider(**severity_slider(chosen.degradation)),
            }
        return updates

    def defaults(degradation: str):
        values = controls.preset(BALANCED, enhancers)
        return {
            severity: gr.Slider(**severity_slider(degradation)),
            damage_seed: 0,
            seed: 0,
            preset: BALANCED,
            mask: None,
        } | dict(zip(sliders, values, strict=True))

    def boxes(how: str) -> dict:
        return {
            damage_box: gr.Group(visible=how == DAMAGE),
            reference: gr.Image(visible=how == REFERENCE),
        }

    def buttons(running: bool, text: str | None = None) -> Callable[[], dict]:
        usable = {button: {"interactive": not running} for button in (start, guess)}
        usable[stop] = {"interactive": running}

        def update() -> dict:
            result = {button: gr.Button(**how) for button, how in usable.items()}
            return result if text is None else result | {status: markup.status(text)}

        return update

    # Wiring.
    inputs = [photo, how, degradation, severity, damage_seed, reference, mask]
    light = {"show_progress": "hidden", "api_visibility": "private"}
    results = [pictures, *downloads.values()]
    form = [photo, how, mask, damage_box, reference, degradation, severity]
    edited = [part.input for part in (how, severity, damage_seed, reference)]
    show = {
        "fn": preview,
        "inputs": inputs,
        "outputs": [*results, table, size],
        "concurrency_id": "light",
        "concurrency_limit": 4,
        **light,
    }
    how.input(boxes, how, [damage_box, reference], queue=False, **light)
    masks = {"outputs": mask, "concurrency_id": "light", **light}
    lay_mask = {"fn": None, "inputs": mask, "js": viewer.TAKE_MASK, "queue": False, **light}
    changed = [
        gr.on(edited, trigger_mode="always_last", **show),
        photo.input(lambda: None, None, mask, queue=False, **light).then(**show),
        degradation.input(
            lambda name: gr.Slider(**severity_slider(name)),
            degradation,
            severity,
            queue=False,
            **light,
        ).then(**show),
        picks.click(pick, picks, form, queue=False, **light).then(**show),
        mask.input(uploaded, [photo, mask], **masks).success(**lay_mask).then(**show),
        pictures.paint(painted, None, trigger_mode="always_last", **masks).then(**show),
        reset.click(
            defaults,
            degradation,
            [severity, damage_seed, seed, preset, mask, *sliders],
            queue=False,
            **light,
        ).then(**show),
    ]
    for event in (photo.input, picks.click, reset.click):
        event(None, js=viewer.TAKE_MASK, queue=False, **light)
    paint.click(None, js=viewer.START_PAINTING, queue=False, **light)
    preset.input(
        lambda name: dict(zip(sliders, controls.preset(name, enhancers), strict=True)),
        preset,
        sliders,
        queue=False,
        **light,
    )
    gr.on(
        [slider.input for slider in sliders],
        lambda *values: controls.preset_of(values, enhancers),
        sliders,
        preset,
        queue=False,
        **light,
    )
    gr.on(
        None,
        told,
        [size, *sliders],
        start,
        trigger_mode="always_last",
        concurrency_id="estimate",
        concurrency_limit=16,
        **light,
    )
    # A run begins with the buttons; on a phone the pictures may be out of sight.
    work = light | {
        "concurrency_id": "models",
        "concurrency_limit": 1,
        "show_progress": "minimal",  # tells the place in line
        "show_progress_on": status,
    }
    given = [*inputs, seed, *sliders]
    busy = {"fn": buttons(True, QUEUED), "inputs": None, "outputs": [start, guess, stop, status]}
    click = start.click(**busy, cancels=changed, queue=False, **light)
    start.click(None, js=viewer.TO_PICTURES, queue=False, **light)
    runs = [
        click.then(restore, given, [status, table, *results], **work),
        guess.click(**busy, cancels=changed, queue=False, **light).then(
            spread, given, [status, maps, guessed], **work
        ),
    ]
    # Gradio cancels only from an event of a component, not from one that follows another. The
    # cancelled run counts as failed, and that comes after its last word; nothing else does.
    others = [photo.input, degradation.input, picks.click, mask.input, reset.click]
    gr.on([*edited, *others], None, cancels=runs, **light)
    pictures.paint(
        None, cancels=runs, **light
    )  # an event of its own making, which `on` cannot take
    stop.click(None, cancels=runs, **light)
    for run in runs:
        run.success(buttons(False), None, [start, guess, stop], queue=False, **light)
        run.failure(
            buttons(False, STOPPED), None, [start, guess, stop, status], queue=False, **light
        )
    runs[0].failure(None, pictures, pictures, js=viewer.STOP, queue=False, **light)
    pictures.measure(
        measure, pictures, inside, trigger_mode="always_last", concurrency_id="light", **light
    )
    for event in changed:
        event.success(forget, None, [status, maps, guessed], queue=False, **light)
    return Form(
        photo=photo,
        how=how,
        damage_box=damage_box,
        degradation=degradation,
        severity=severity,
        damage_seed=damage_seed,
        reference=reference,
        mask=mask,
        preset=preset,
        seed=seed,
        sliders=sliders,
        pictures=pictures,
        table=table,
        status=status,
        downloads=downloads,
        run=runs[0],
        show=show,
    )


def opening_view(runner: Runner) -> View:
    """What the page opens with: a finished comparison, if the present weights made it."""
    specs = {name: enhancer.spec for name, enhancer in runner.enhancers.items()}
    task, made = first.task(), first.load(specs, first.FOLDER)
    folder = Path(first.photo()).parent
    panels = show_input(task, folder)
    start = input_row(task)
    rows = [start]
    for key in [*specs, CLASSICAL]:
        spec = specs.get(key)
        panel = empty_panel(key, spec)
        row = markup.Row("Classical" if spec is None else spec.title)
        if made is not None:
            picture = made.pictures[key]
            row = classical_row(made.baseline) if spec is None else row
            row = replace(row, scores=job.scores(picture, task))
            meta = {"Software": "Triptych"} if spec is None else job.metadata(task, spec, 0, {})
            file = job.save(picture, task, folder, key, meta)
            panel = finished(panel, row, start, file, made.baseline if spec is None else "")
        rows.append(row)
        panels[key] = panel
    told = settings(task, specs, 0, {}) if made else f"Input: {task.damage}."
    return View(
        markup.status(MADE if made else READY),
        markup.table(rows, scored=True, settings=told),
        panels,
    )


def warm_up_once(runner: Runner) -> Callable[[], None]:
    """A handler that times the methods in the background at its first call."""
    begun = threading.Lock()

    def handler() -> None:
        if begun.acquire(blocking=False):
            threading.Thread(target=runner.warm_up, daemon=True).start()

    return handler
