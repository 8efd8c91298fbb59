"""What to do with results: take them all home, pass the settings on, come back to earlier ones."""

from __future__ import annotations

import html
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from PIL import Image

from ui import link, markup, result, viewer
from ui.controls import preset_of, severity_slider
from ui.job import DAMAGE, REFERENCE
from ui.link import Settings
from ui.restore import CLASSICAL, INPUT, READY, TRUTH, Form, for_people
from ui.runner import Runner
from ui.viewer import SHOWN, Panel

MAX_ENTRIES = 20
THUMBNAIL = 160
"""Longest side in pixels."""
EMPTY = "Restore a photo first."
COPY = """
element.addEventListener("click", async ({ target }) => {
  if (!target.matches("button")) return;
  await navigator.clipboard.writeText(element.querySelector("a").href);
  target.textContent = "Copied";
});
"""
STYLE = """
p { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: center; margin: 0; }
a { color: var(--link-text-color); text-decoration: underline; }
button { padding: .25rem .75rem; cursor: pointer; color: inherit;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-md);
  background: var(--button-secondary-background-fill); }
:focus-visible { outline: 3px solid var(--color-accent); outline-offset: 1px; }
"""
SAVE = """(file) => {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""
"""For `js=`: save a file; Gradio's own button would need a second click once the file is there."""


@dataclass(frozen=True)
class Entry:
    """A finished run of this visit."""

    panels: tuple[Panel, ...]
    table: str
    photo: str
    """The file given, as it lies on the server."""
    settings: Settings
    title: str


def results_section(runner: Runner, form: Form) -> None:
    """Lay out what stands below the results inside the present `gr.Blocks` and connect it."""
    with gr.Row(equal_height=True):
        pack = gr.Button("Download all (zip)", size="sm", min_width=150, scale=0, elem_id="pack")
        share = gr.HTML(
            "", css_template=STYLE, js_on_load=COPY, apply_default_css=False, elem_id="link"
        )
    packed = gr.DownloadButton(visible="hidden")
    strip = gr.Gallery(
        label="Results of this visit: choose one to see it again",
        visible=False,
        columns=8,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        elem_id="history",
    )
    entries = gr.State([])

    @for_people
    def pack_all(value: dict):
        with tempfile.TemporaryDirectory() as folder:
            files = shown_files(viewer.panels_of(value))
            truth = files.pop(TRUTH, None)
            if not any(name in files for name in runner.enhancers):
                raise ValueError(EMPTY)
            target = Path(folder) / f"{Path(files[INPUT]).name.split('.')[0]}.triptych.zip"
            result.pack(files, truth, target)
            yield str(target)

    def remember(entries: list[Entry], value: dict, table: str, photo: str) -> tuple:
        entry = entry_of(viewer.panels_of(value), table, photo)
        entries = [entry, *entries][:MAX_ENTRIES]
        pictures = [(thumbnail(entry), entry.title) for entry in entries]
        return entries, share_html(entry.settings), gr.Gallery(pictures, visible=True)

    @for_people
    def recall(entries: list[Entry], event: gr.SelectData):
        entry = entries[event.index]
        files = shown_files(entry.panels)
        if not all(Path(file).exists() for file in (*files.values(), entry.photo)):
            raise ValueError(result.GONE)
        saved = {
            button: gr.DownloadButton(value=files.get(name), interactive=name in files)
            for name, button in form.downloads.items()
        }
        yield {
            **fill(form, runner, entry.settings),
            form.photo: entry.photo,
            form.mask: None,
            form.pictures: viewer.state(entry.panels, time.time()),
            form.table: entry.table,
            form.status: markup.status(f"Shown again: {entry.title}."),
            share: share_html(entry.settings),
            **saved,
        }

    hidden = {"show_progress": "hidden", "api_visibility": "private"}
    light = {"concurrency_id": "light", **hidden}
    pack.click(pack_all, form.pictures, packed, **light).success(
        None, packed, None, js=SAVE, queue=False, **hidden
    )
    form.run.success(
        remember, [entries, form.pictures, form.table, form.photo], [entries, share, strip], **light
    )
    shown = [form.pictures, form.table, form.status, share, *form.downloads.values()]
    strip.select(None, cancels=[form.run], queue=False, **hidden)
    strip.select(None, js=viewer.TAKE_MASK, queue=False, **hidden)
    strip.select(recall, entries, [*filled(form), form.mask, *shown], **light)


def follow_link(demo: gr.Blocks, runner: Runner, form: Form) -> None:
    """Set the page up as its address says when it opens."""
    linked = gr.State(False)

    def follow(request: gr.Request):
        try:
            settings = link.parse(dict(request.query_params), list(runner.enhancers.values()))
        except ValueError as error:  # an event of a page that is opening shows no message
            return {form.status: markup.status(f"This link cannot be followed. {error}")}
        return fill(form, runner, settings) | {linked: settings != Settings()}

    def show(linked: bool, *values):
        if not linked:  # the page stays as it opened
            yield gr.skip()
            return
        for updates in form.show["fn"](*values):
            yield updates | {form.status: markup.status(READY)}

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    opened = [*filled(form), linked, form.status]
    demo.load(follow, None, opened, queue=False, **quiet).success(
        show,
        [linked, *form.show["inputs"]],
        [*form.show["outputs"], form.status],
        concurrency_id="light",
        **quiet,
    )


def filled(form: Form) -> list[gr.components.Component]:
    """What `fill` may change."""
    parts = [form.photo, form.how, form.damage_box, form.reference, form.degradation]
    return [*parts, form.severity, form.damage_seed, form.seed, form.preset, *form.sliders]


def fill(form: Form, runner: Runner, settings: Settings) -> dict:
    """Updates that set the form; what the settings leave out stays as it is."""
    enhancers = list(runner.enhancers.values())
    given = {
        form.photo: link.photos().get(settings.photo),
        form.how: settings.how,
        form.degradation: settings.degradation,
        form.damage_seed: settings.damage_seed,
        form.seed: settings.seed,
    }
    updates = {part: value for part, value in given.items() if value is not None}
    if settings.how is not None:
        updates[form.damage_box] = gr.Group(visible=settings.how == DAMAGE)
        updates[form.reference] = gr.Image(visible=settings.how == REFERENCE)
    if settings.degradation is not None:
        slider = severity_slider(settings.degradation) | {"value": settings.severity}
        updates[form.severity] = gr.Slider(**slider)
    names = [link.option_name(e, option.name) for e in enhancers for option in e.spec.options]
    for name, slider in zip(names, form.sliders, strict=True):
        if name in settings.options:
            updates[slider] = settings.options[name]
    if settings.options:
        values = [settings.options.get(name) for name in names]
        updates[form.preset] = preset_of(values, enhancers)
    return updates


def entry_of(panels: Sequence[Panel], table: str, photo: str) -> Entry:
    """Describe a finished run by what its pictures tell of themselves."""
    stored = result.texts(shown_files([panel for panel in panels if not panel.truth]))
    made = result.settings(stored)
    recipe, methods = made["recipe"], made["methods"]
    options = {
        f"{name}.{option}": value
        for name, method in methods.items()
        for option, value in method["options"].items()
    }
    seed = next(iter(methods.values()))["seed"]
    settings = Settings(link.name_of(photo), **recipe, seed=seed, options=options)
    title = f"{Path(made['photo']).stem}, {made['damage']}"
    return Entry(tuple(panels), table, photo, settings, title)


def shown_files(panels: Sequence[Panel]) -> dict[str, str]:
    """Files of the finished pictures, by their panels' keys."""
    return {panel.key: panel.file for panel in panels if panel.state == SHOWN}


def thumbnail(entry: Entry) -> Image.Image:
    """A small version of the last picture that a network made."""
    others = (INPUT, TRUTH, CLASSICAL)
    *_, file = (f for key, f in shown_files(entry.panels).items() if key not in others)
    with Image.open(file, formats=["PNG"]) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


def share_html(settings: Settings) -> str:
    """A link to the settings, relative to wherever the page is served from."""
    note = "" if settings.photo else " (without the photo, which stays yours)"
    address = html.escape(f"?{link.query(settings)}")
    return (
        f'<p><a href="{address}">Link to these settings</a>{note} '
        '<button type="button">Copy</button></p>'
    )
