"""How the page looks and what it says of itself: system fonts, one accent, light and dark."""

import json
from pathlib import Path

import gradio as gr

from ui.examples import EXAMPLES

THEME = gr.themes.Base(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="slate",
    font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
    font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
    radius_size="md",
).set(  # the theme's own greys and teal are too pale to read: below a contrast of 4.5
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
)

HEAD = f"<script>window.triptychExamples = {json.dumps([e.title for e in EXAMPLES])};</script>"
JS = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")

CSS = """
/* Gradio hides what overflows, and nothing can stick inside such a box. */
.gradio-container { max-width: 1680px !important; margin: 0 auto; overflow: visible !important; }
.gradio-container .html-container { padding: 0 !important; }

#how .wrap { flex-direction: column; align-items: flex-start; }

#examples .gallery { display: grid; gap: .375rem;
  grid-template-columns: repeat(auto-fill, minmax(3.25rem, 1fr)); }
#examples .gallery button { aspect-ratio: 1; padding: 0; overflow: hidden; }
#examples .gallery button * { display: block; width: 100%; height: 100%; max-width: none;
  max-height: none; object-fit: cover; }

#bar { position: sticky; top: 0; z-index: 20; padding: .5rem 0; align-items: center;
  background: var(--body-background-fill); }
#bar button { align-self: center; }
.status p { margin: 0 0 .375rem; }
.status progress { display: block; width: 100%; height: .5rem; appearance: none; border: 0; }
.status progress, .status progress::-webkit-progress-bar {
  background: var(--border-color-primary); border-radius: 99px; overflow: hidden; }
.status progress::-webkit-progress-value { background: var(--color-accent); }
.status progress::-moz-progress-bar { background: var(--color-accent); }

#scores, #scores .html-container, .scores { min-width: 0; max-width: 100%; }
.scores { min-height: 21rem; }
.in-region { min-height: 0; }
.scores h2 { margin: .5rem 0 .25rem; font-size: 1.25rem; font-weight: 600; }
.scores .note { margin: 0 0 .75rem; color: var(--body-text-color-subdued); }
.scores .scroll { overflow-x: auto; }
.scores table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.scores th, .scores td { padding: .5rem .75rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--border-color-primary); }
.scores th:first-child { text-align: left; }
.scores thead th { font-weight: 600; }
.scores small { display: block; font-weight: 400; font-size: .75rem;
  color: var(--body-text-color-subdued); }
.scores tbody th { font-weight: 400; }
.scores .best { font-weight: 600;
  background: color-mix(in srgb, var(--color-accent) 14%, transparent); }
.scores .no-gain { color: var(--body-text-color-subdued); }
@media (max-width: 480px) {
  .scores:not(.in-region) { min-height: 27rem; }
  .scores th, .scores td { padding: .5rem .25rem; font-size: .85rem; }
  .scores small { font-size: .7rem; }
}
"""
