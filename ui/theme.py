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
/* Gradio puts in the parts one by one, as their scripts come, and each moves those below it. */
html:not(.whole) :is(main.contain, footer) { visibility: hidden; max-height: 0; }

/* Gradio hides what overflows, and nothing can stick inside such a box. */
.gradio-container { max-width: 2400px !important; margin: 0 auto; overflow: visible !important; }
.gradio-container .html-container { padding: 0 !important; }

/* What to do stands beside the pictures; on a narrow screen below them, and above the numbers. */
#bench { display: grid; gap: 1rem; align-items: start;
  grid-template: "form pictures" auto "form numbers" 1fr / minmax(320px, 22rem) minmax(0, 1fr); }
#form { grid-area: form; }
#pictures { grid-area: pictures; }
#numbers { grid-area: numbers; }
#form, #pictures, #numbers { min-width: 0 !important; }
@media (max-width: 900px) {
  #bench { grid-template: "pictures" "form" "numbers" / minmax(0, 1fr); }
}

#how .wrap, #preset .wrap { flex-direction: column; align-items: flex-start; }
#how label, #preset label { white-space: normal; }
#maps [data-do=mask], #maps [data-do=region], #maps .colours { display: none; }
#guessed p { margin: .5rem 0; max-width: 46rem; }

#examples .gallery { display: grid; gap: .375rem;
  grid-template-columns: repeat(auto-fill, minmax(3.25rem, 1fr)); }
#examples .gallery button { aspect-ratio: 1; padding: 0; overflow: hidden; }
#examples .gallery button * { display: block; width: 100%; height: 100%; max-width: none;
  max-height: none; object-fit: cover; }

#bar { position: sticky; top: 0; z-index: 60; padding: .5rem 0; align-items: center;
  background: var(--body-background-fill); }
/* The menu of the tabs that do not fit a narrow screen opens over the bar. */
.gradio-container .tabs .overflow-dropdown { z-index: 70; }
#bar button { align-self: center; white-space: nowrap; }
.status p { margin: 0 0 .375rem; }
.status progress { display: block; width: 100%; height: .5rem; appearance: none; border: 0; }
.status progress, .status progress::-webkit-progress-bar {
  background: var(--border-color-primary); border-radius: 99px; overflow: hidden; }
.status progress::-webkit-progress-value { background: var(--color-accent); }
.status progress::-moz-progress-bar { background: var(--color-accent); }

/* Gradio breaks words anywhere, and would sooner do that than let a table scroll. */
#api-text table { display: block; overflow-x: auto; }
#api-text td:last-child { min-width: 15rem; }
#api-text :is(th, td) { overflow-wrap: normal; word-break: normal; }

/* Thumbnails, as many in a line as fit, and no higher than they are. */
#history .grid-wrap { min-height: 0; max-height: none; padding-top: 2.5rem; overflow-y: visible; }
#history .grid-container { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr));
  grid-template-rows: none; grid-auto-rows: auto; }

#scores, #scores .html-container, .scores { min-width: 0; max-width: 100%; }
.scores h2 { margin: 0 0 .25rem; font-size: 1.25rem; font-weight: 600; }
.scores .note { margin: .5rem 0 0; font-size: .875rem; color: var(--body-text-color-subdued); }
.in-region .note { margin-bottom: .5rem; }
.scores .scroll { overflow-x: auto; }
.scores table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.scores th, .scores td { padding: .5rem .75rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--border-color-primary); }
/* As high as a value with words under it, so that nothing moves when they come. */
.scores tbody tr { height: 3.5rem; }
.scores th:first-child { text-align: left; }
.scores .words, .of-batch th:nth-child(2) { text-align: left; }
.scores.of-batch tbody tr { height: auto; }
.scores thead th { font-weight: 600; }
.scores small { display: block; font-weight: 400; font-size: .75rem;
  color: var(--body-text-color-subdued); }
.scores tbody th { font-weight: 400; }
.scores .best { font-weight: 600;
  background: color-mix(in srgb, var(--color-accent) 14%, transparent); }
.scores .no-gain { color: var(--body-text-color-subdued); }
@media (max-width: 480px) {
  .scores tbody tr { height: 5rem; }
  .scores th, .scores td { padding: .5rem .25rem; font-size: .85rem; }
  .scores small { font-size: .7rem; }
}
"""
