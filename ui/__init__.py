"""The web page. `build_demo` takes the enhancers, so that it needs no weights to be tested."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from enhancers.base import Enhancer
from eval.report import JS as REPORT_JS
from ui.api import add_endpoints
from ui.batch_tab import batch_tab
from ui.history import follow_link, results_section
from ui.inside import CSS as INSIDE_CSS
from ui.inside import inside_tabs
from ui.leaderboard import CSS as LEADERBOARD_CSS
from ui.leaderboard import leaderboard_tab
from ui.limits import KEPT, MAX_FILE_MB, QUEUE, SWEEP, kept, sentence
from ui.restore import restore_tab, warm_up_once
from ui.runner import Runner
from ui.scripts import HAS_MCP, scripts_tab
from ui.theme import CSS, HEAD, JS, THEME

TITLE = "Triptych"
INTRODUCTION = (
    "One degraded photo, three generative models: a VAE, a GAN and a diffusion model restore it "
    "side by side, and where the truth is known, the scores say which came closest."
)
LAUNCH = {
    "theme": THEME,
    "css": CSS + LEADERBOARD_CSS + INSIDE_CSS,
    "head": f"{HEAD}<script>{REPORT_JS}</script>",
    "js": JS,
    "max_file_size": f"{MAX_FILE_MB}mb",
    "mcp_server": HAS_MCP,
    "run_history": False,  # a visitor's photos do not stay in the browser
    "footer_links": ["api", "settings"],
    "show_error": False,
}
"""For `demo.launch`: where Gradio 6 takes the look of a page and its limits."""


def build_demo(enhancers: Sequence[Enhancer]) -> gr.Blocks:
    """Return the page for these enhancers, its queue set up; `launch(**LAUNCH)` shows it."""
    runner = Runner(enhancers)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(SWEEP, KEPT), fill_width=True
    ) as demo:
        gr.Markdown(f"# {TITLE}\n{INTRODUCTION}")
        with gr.Tabs():
            with gr.Tab("Restore", id="restore"):
                form = restore_tab(runner)
                results_section(runner, form)
            with gr.Tab("Batch", id="batch"):
                batch_tab(runner, form)
            with gr.Tab("Leaderboard", id="leaderboard") as tab:
                leaderboard_tab(tab, runner)
            inside_tabs(runner.enhancers, form.given, runner.line)
            with gr.Tab("API", id="api"):
                scripts_tab(runner)
        gr.Markdown(
            "Photos are processed on this server, seen by nobody else, and deleted within "
            f"{kept()}. A generative model may invent detail: do not take its pictures for "
            f"evidence. {sentence()}",
            elem_classes="small-print",
        )
        add_endpoints(runner)
        follow_link(demo, runner, form)
        demo.load(
            warm_up_once(runner), queue=False, show_progress="hidden", api_visibility="private"
        )
    return demo.queue(max_size=QUEUE)
