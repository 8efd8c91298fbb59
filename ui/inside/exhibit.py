"""A figure on the page: words, knobs, a button, and what comes of it.

A family's tab is a list of exhibits. What an exhibit shows is computed by a plain generator of
`View`s, which knows no Gradio; here they are laid out and connected.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from gradio.data_classes import FileData
from torch import Tensor

from enhancers import images
from ui import markup
from ui.inside.pictures import load_subject
from ui.line import Line
from ui.restore import for_people, plain_html
from ui.runner import HEARTBEAT

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FOLDER = Path(__file__).parent
_STRIP, _FILM, _SCRIPT, CSS = (
    (_FOLDER / name).read_text(encoding="utf-8")
    for name in ("strip.html", "film.html", "film.js", "inside.css")
)
_STRIP_STYLE = """
display: grid; gap: .75rem; align-items: start;
grid-template-columns: repeat(auto-fill, minmax(min(${width}, 46%), 1fr));
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; border-radius: var(--radius-sm); }
a:focus-visible { outline: 3px solid var(--color-accent); display: block; }
figcaption { font-size: .875rem; line-height: 1.35; margin-top: .25rem; }
figcaption b { display: block; }
figcaption span { color: var(--body-text-color-subdued); }
"""
_FILM_STYLE = """
[hidden] { display: none !important; }
.frame { display: flex; gap: .75rem; }
figure { flex: 1; max-width: 20rem; margin: 0; min-width: 0; }
img { display: block; width: 100%; border-radius: var(--radius-sm); }
figcaption { font-size: .875rem; font-weight: 600; margin-top: .25rem; }
.controls { display: flex; gap: .75rem; align-items: center; margin: .5rem 0; max-width: 41rem; }
button { width: 2.75rem; height: 2.5rem; cursor: pointer; color: inherit;
  border-radius: var(--radius-md); border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill); }
input { flex: 1; min-width: 0; height: 2.5rem; accent-color: var(--color-accent); }
:focus-visible { outline: 3px solid var(--color-accent); outline-offset: 1px; }
.note { margin: 0; min-height: 1.4em; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture in a strip, and what stands under it."""

    title: str
    pixels: Tensor
    """(1, 3, H, W) in [0, 1]."""
    note: str = ""
    alt: str = ""
    """For those who cannot see it; the title and the note where left out."""


@dataclass(frozen=True)
class Film:
    """Pictures one after the other, under a slider."""

    label: str
    """Of the slider."""
    names: Sequence[str]
    """Of the pictures that stand beside each other in a frame."""
    frames: Sequence[tuple[str, Sequence[Tensor]]]
    """What is said of a frame, and a picture per name."""
    start: int = 0
    """Frame shown first."""


@dataclass(frozen=True)
class View:
    """What changes on the page; what is None stays as it is."""

    status: str
    fraction: float
    """Of the work that is done."""
    pictures: Sequence[Picture] | None = None
    film: Film | None = None
    chart: Figure | None = None
    told: str | None = None
    """HTML, from `paragraphs` and `table`: what the figure shows, in words and numbers."""
    seconds_left: float | None = None


@dataclass(frozen=True)
class Exhibit:
    """One figure: what it is about, its knobs, and how it is computed."""

    key: str
    title: str
    about: str
    """Markdown."""
    button: str
    show: Callable[..., Iterator[View]]
    """Called with a `pictures.Subject`, unless `alone`, and the values of the knobs."""
    knobs: Sequence[Callable[[], gr.components.Component]] = ()
    parts: Sequence[str] = ("pictures",)
    """What it fills of pictures, film and chart."""
    live: bool = False
    """Whether moving a knob computes it anew."""
    alone: bool = False
    """Whether it needs no photo."""
    width: str = "12rem"
    """Least width of a picture in the strip."""


def working(done: int, steps: int) -> View:
    """Say how many of the steps are done."""
    return View(f"At work: {done} of {steps}", done / steps)


def paragraphs(*sentences: str) -> str:
    """Lay out plain text."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Lay out a table of plain text; the first column names the rows."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def strip(width: str) -> gr.HTML:
    """Return the place of pictures, each at least as wide as `width`."""
    return gr.HTML(
        {"pictures": []},
        html_template=_STRIP,
        css_template=_STRIP_STYLE,
        width=width,
        apply_default_css=False,
        min_width=320,
        elem_classes="strip",
    )


def _film() -> gr.HTML:
    return gr.HTML(
        {"frames": []},
        html_template=_FILM,
        css_template=_FILM_STYLE,
        js_on_load=_SCRIPT,
        apply_default_css=False,
        min_width=320,
        elem_classes="film",
    )


def chart() -> gr.Plot:
    """Return the place of a chart."""
    return gr.Plot(
        visible=False, show_label=False, container=False, min_width=320, elem_classes="chart"
    )


def lay_out(exhibit: Exhibit, form: Sequence[gr.components.Component], line: Line) -> None:
    """Add an exhibit to the present `gr.Blocks`. form: the inputs of `load_subject`."""
    with gr.Column(elem_id=f"inside-{exhibit.key}", elem_classes="exhibit"):
        gr.Markdown(f"## {exhibit.title}\n{exhibit.about}", elem_classes="about")
        with gr.Row(visible=bool(exhibit.knobs), elem_classes="knobs"):
            knobs = [make() for make in exhibit.knobs]
        with gr.Row():
            button = gr.Button(exhibit.button, variant="primary", min_width=320, scale=0)
        status = plain_html("", elem_classes="progress")
        with gr.Row(equal_height=False):
            parts = {"pictures": partial(strip, exhibit.width), "film": _film, "chart": chart}
            shown = {name: parts[name]() for name in exhibit.parts}
        told = plain_html("", elem_classes="told")

    inputs = [] if exhibit.alone else list(form)

    @for_people
    def present(*values):
        given, chosen = values[: len(inputs)], values[len(inputs) :]
        subjects = [] if exhibit.alone else [load_subject(*given)]
        with line.join() as place:
            while not place.wait(HEARTBEAT):
                yield {status: markup.status(f"Waiting: {place.ahead} before you")}
            for view in exhibit.show(*subjects, *chosen):
                yield updates(view, status, told, shown)

    events = [button.click]
    if exhibit.live:
        events += [knob.release for knob in knobs]
    gr.on(
        events,
        present,
        [*inputs, *knobs],
        [status, told, *shown.values()],
        trigger_mode="always_last",
        concurrency_id="models",
        concurrency_limit=1,
        show_progress="hidden",
        api_visibility="private",
    )


def updates(view: View, status: gr.HTML, told: gr.HTML, shown: dict) -> dict:
    """Return what Gradio has to change for a view. shown: the places of its parts, by name."""
    at_work = markup.status(view.status, view.fraction, view.seconds_left)
    changed = {status: at_work if view.fraction < 1 else ""}
    if view.told is not None:
        changed[told] = f'<div aria-live="polite">{view.told}</div>'
    if view.pictures is not None:
        strip = shown["pictures"]
        changed[strip] = {
            "pictures": [
                {
                    "title": picture.title,
                    "note": picture.note,
                    "alt": picture.alt or f"{picture.title} {picture.note}",
                    "image": _served(strip, picture.pixels),
                }
                for picture in view.pictures
            ]
        }
    if view.film is not None:
        changed[shown["film"]] = {
            "label": view.film.label,
            "names": list(view.film.names),
            "start": view.film.start,
            "frames": [
                {"note": note, "images": [_served(shown["film"], p) for p in pictures]}
                for note, pictures in view.film.frames
            ],
        }
    if view.chart is not None:
        changed[shown["chart"]] = gr.Plot(view.chart, visible=True)
    return changed


def _served(component: gr.HTML, picture: Tensor) -> dict:
    """Write a PNG to where Gradio serves it from, and describe it for the browser."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        images.to_pil(picture).save(path, compress_level=1)
        return FileData(path=component.move_resource_to_block_cache(str(path))).model_dump()
