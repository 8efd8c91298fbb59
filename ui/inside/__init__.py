"""Tabs that show what goes on inside the models, on the visitor's own photo."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from enhancers.base import Enhancer
from ui.inside import diffusion, gan, ranking, training, vae
from ui.inside.exhibit import CSS, Exhibit, lay_out
from ui.inside.pictures import SIDE
from ui.line import Line

__all__ = ["CSS", "inside_tabs"]

PHOTO = (
    f"The figures below work on the photo and the damage chosen in the **Restore** tab, shrunk to "
    f"at most {SIDE} pixels a side so that each takes seconds. Where the truth is known, they "
    "measure against it."
)


def inside_tabs(
    enhancers: dict[str, Enhancer], form: Sequence[gr.components.Component], line: Line
) -> None:
    """Add a tab per family, one on their ranking and one to train in, to the present `gr.Tabs`.

    form: the photo and what is done to it, as `pictures.load_subject` takes them. line: where
    everything waits that uses the enhancers.
    """
    if "vae" in enhancers:
        _tab("VAE", "vae", vae.exhibits(enhancers["vae"]), form, line)
    if "gan" in enhancers:
        _tab("GAN", "gan", gan.exhibits(enhancers), form, line)
    if "diffusion" in enhancers:
        _tab("Diffusion", "diffusion", diffusion.exhibits(enhancers["diffusion"]), form, line)
    _tab("Why these ranks", "why", ranking.exhibits(enhancers), form, line)
    with gr.Tab("Train", id="inside-training"):
        training.training_tab(enhancers, line)


def _tab(
    title: str,
    key: str,
    exhibits: Sequence[Exhibit],
    form: Sequence[gr.components.Component],
    line: Line,
) -> None:
    with gr.Tab(title, id=f"inside-{key}"):
        gr.Markdown(PHOTO, elem_classes="small-print")
        for exhibit in exhibits:
            lay_out(exhibit, form, line)
