"""Several pictures of one photo in one frame that zooms them together, as a Gradio component.

`viewer` makes the component and `state` its value. What happens in the browser is in `viewer.js`;
the pictures travel as the PNG files they are.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData

EMPTY, WAITING, RUNNING, SHOWN, FAILED = "empty", "waiting", "running", "shown", "failed"
"""States of a panel. Where it is running, its picture may be an estimate."""

MAX_MASK = 16 << 20
"""Characters of a painted mask as it comes from the browser."""

_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE, _SCRIPT = (
    (_FOLDER / f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
)

STOP = """(value) => {
  const busy = ({ state }) => state === "waiting" || state === "running";
  const stop = (panel) => (busy(panel) ? { ...panel, state: "empty", note: "stopped" } : panel);
  return { ...value, panels: value.panels.map(stop) };
}"""
"""For `js=`: the value after a run was stopped. In the browser, where it is always the latest."""

TAKE_MASK = """(picture) => document.querySelector("#viewer .stage").dispatchEvent(
  new CustomEvent("mask", { detail: picture?.url ?? null, bubbles: true }))"""
"""For `js=`: lay a mask, a value of `gr.Image`, over the photo of the component called `viewer`;
without one, take off what is there."""

START_PAINTING = """() => document.querySelector("#viewer .stage").dispatchEvent(
  new CustomEvent("paint", { bubbles: true }))"""
"""For `js=`: take up the brush, or lay it down."""

TO_PICTURES = """() => document.querySelector("#viewer").scrollIntoView({ block: "nearest" })"""
"""For `js=`: bring the component called `viewer` into sight."""


@dataclass(frozen=True)
class Panel:
    """One picture, or the place of one that is still to come."""

    key: str
    label: str
    note: str = ""
    """What is to be said of it: its size, how far it is, why it failed."""
    state: str = EMPTY
    file: str | None = None
    """A PNG; all pictures of a viewer must have the same size."""
    truth: bool = False
    """Whether the others are to be compared with it."""


def viewer(panels: Iterable[Panel], **settings) -> gr.HTML:
    """Return the component; inside a `with` block of it, more can be put under the pictures.

    Its event `measure` comes when a rectangle was drawn or its pictures changed, with the data
    {"region": the fields of a `ui.region.Region`, or None where there is none any more}. Its event
    `paint` comes when somebody painted a mask on the photo, with {"mask": for `mask_of`}. A mask
    from elsewhere is put in by `TAKE_MASK`.
    """
    return gr.HTML(
        state(panels),
        html_template=_TEMPLATE,
        css_template=_STYLE,
        js_on_load=_SCRIPT,
        apply_default_css=False,
        **settings,
    )


def state(panels: Iterable[Panel], began: float = 0.0) -> dict:
    """The value that shows these panels.

    began: time of the request that made them; the viewer takes nothing older than what it shows,
    so that the last word of a run that was ended does not undo what ended it.
    """
    return {"panels": [_as_json(panel) for panel in panels], "began": began}


def serve(component: gr.HTML, panel: Panel) -> Panel:
    """Copy a panel's file to where Gradio serves it from, once and for all values it is part of."""
    return replace(panel, file=component.move_resource_to_block_cache(panel.file))


def _as_json(panel: Panel) -> dict:
    fields = asdict(panel)
    file = fields.pop("file")
    return fields | {"image": file and FileData(path=file).model_dump()}


def mask_of(painted: str | None) -> bytes | None:
    """Return the PNG of a mask as it came from the brush; None where nothing is painted.

    Raises ValueError.
    """
    if painted is None:
        return None
    head, _, content = str(painted).partition(",")
    if head != "data:image/png;base64" or len(content) > MAX_MASK:
        raise ValueError("A painted mask is a PNG of at most 16 MB; paint less, or give a file.")
    return base64.b64decode(content, validate=True)


def panels_of(value: dict) -> list[Panel]:
    """Return the panels of a viewer's value as it came back from a browser.

    Gradio has refused files that it does not serve, where they are marked as files; what is not
    marked is refused here. Raises ValueError.
    """
    return [_from_json(panel) for panel in value["panels"]]


def _from_json(panel: dict) -> Panel:
    fields = dict(panel)
    image = fields.pop("image")
    if image is not None:
        fields["file"] = FileData.model_validate(image, context={"validate_meta": True}).path
    return Panel(**fields)
