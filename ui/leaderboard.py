"""The Leaderboard tab: what was measured, how sure it is, and how the methods trade things off."""

from __future__ import annotations

import functools
import html
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import gradio as gr
import pandas as pd

import enhancers
from enhancers import classical
from enhancers.degradations import DEGRADATIONS
from eval import leaderboard, report
from eval.datasets import SAMPLE_SIDE, at_hand
from eval.leaderboard import Standing, View
from eval.metrics import METRICS
from eval.published import PUBLISHED, read_published
from eval.results import per_photo, read_results
from ui import behind, limits, markup, own, viewer
from ui.own import OWN, Own
from ui.restore import for_people, plain_html
from ui.runner import HEARTBEAT, Runner

FOLDER = Path(__file__).parent
CSS = report.CSS + (FOLDER / "leaderboard.css").read_text(encoding="utf-8")
ASK = (FOLDER / "behind.js").read_text(encoding="utf-8")
EMPTY = "<p>Nothing has been measured yet: there is no assets/leaderboard.csv.</p>"
INTRODUCTION = (
    "Every number comes from one file, measured on the 8-bit pictures a visitor would download. "
    "Means are over photos, with the interval that 95 of 100 such samples of photos would give. "
    "Press a line of the table or a point of a chart to see the photos behind it."
)
OWN_INTRODUCTION = (
    "Give photos that are as good as you have them: they are damaged here, restored and measured, "
    f"large ones in their middle {SAMPLE_SIDE}×{SAMPLE_SIDE} pixels. The numbers appear below "
    f"under “{OWN}”, for you alone; the shipped file is not changed, and yours is deleted with "
    "your photos."
)


@functools.cache
def photos() -> pd.DataFrame:
    """The shipped results, one value per photo; read when the tab is first opened."""
    return per_photo(read_results(leaderboard.LEADERBOARD))


def photos_with(mine: Own | None) -> pd.DataFrame:
    """The shipped results, and behind them those of the visitor's own photos."""
    rows = mine.photos() if mine else None
    return photos() if rows is None else pd.concat([photos(), rows], ignore_index=True)


@functools.cache
def speed() -> pd.DataFrame:
    """The shipped times."""
    return pd.read_csv(leaderboard.SPEED, dtype=str, keep_default_na=False)


@functools.cache
def published() -> pd.DataFrame | None:
    """Numbers of other authors, where the project ships some."""
    return read_published() if PUBLISHED.exists() else None


def choose(table: pd.DataFrame, dataset, degradation, severity, metric) -> tuple[View, dict]:
    """Return the view nearest to what was chosen, and what there is to choose at each field.

    A field keeps its value where that was measured, given the fields before it; else it takes
    the first, or for the severity the middle one.
    """
    offers = {}

    def pick(field: str, chosen, rows, preferred=None):
        offers[field] = values = list(dict.fromkeys(rows[field]))
        if chosen in values:
            return chosen
        return preferred if preferred in values else values[0]

    dataset = pick("dataset", dataset, table)
    rows = table[table["dataset"] == dataset]
    degradation = pick("degradation", degradation, rows)
    rows = rows[rows["degradation"] == degradation]
    kind = leaderboard.kind_of(degradation)
    severity = pick(
        "severity", severity, rows.sort_values("severity"), kind.default if kind else None
    )
    rows = rows[rows["severity"] == severity]
    metric = pick("metric", metric, rows[rows["metric"].isin(METRICS)])
    return View(dataset, degradation, severity, metric), offers


def leaderboard_tab(tab: gr.Tab, runner: Runner) -> None:
    """Lay out the tab inside the present `gr.Blocks` and connect it; it fills when first opened."""
    gr.Markdown(INTRODUCTION)
    mine = gr.State(None, time_to_live=limits.KEPT)
    with gr.Accordion("Measure my own photos", open=False, elem_id="board-own"):
        gr.Markdown(OWN_INTRODUCTION)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                files = gr.File(
                    label="Photos, or zip files of photos",
                    file_count="multiple",
                    file_types=["image", ".zip"],
                    height=200,
                    elem_id="board-files",
                )
            with gr.Column(min_width=320):
                damages = gr.Dropdown(
                    [(kind.title, f"{n}:{kind.default:g}") for n, kind in DEGRADATIONS.items()],
                    value=["noise:25"],
                    multiselect=True,
                    allow_custom_value=True,
                    label="Damage",
                    info="At its middle severity; for another one type it, as in noise:40.",
                    elem_id="board-damages",
                )
                methods = gr.Dropdown(
                    [
                        ("Classical methods that suit", "baselines"),
                        *((title, name) for name, title in enhancers.TITLES.items()),
                        *((title, name) for name, title in classical.TITLES.items()),
                    ],
                    value=["baselines", *enhancers.TITLES],
                    multiselect=True,
                    allow_custom_value=True,
                    label="Methods",
                    info="With their usual options; for others type them, as in diffusion:steps=8.",
                    elem_id="board-methods",
                )
        with gr.Row(equal_height=True):
            start = gr.Button("Measure", variant="primary", min_width=140, elem_id="board-measure")
            stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="board-stop")
            with gr.Column(scale=8, min_width=280):
                status = plain_html("", elem_id="board-status")
        mine_csv = gr.DownloadButton(
            "Download my numbers (csv)", visible=False, size="sm", elem_id="board-my-download"
        )
    with gr.Row():
        filters = {
            name: _choice(name, text)
            for name, text in (
                ("dataset", "Photos"),
                ("degradation", "Damage"),
                ("severity", "Severity"),
                ("metric", "Metric"),
            )
        }
    meaning = plain_html("", elem_id="board-meaning")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            ranking = _plot("ranking")
        with gr.Column(min_width=320):
            table = plain_html("", elem_id="board-table")
    below = plain_html("", js_on_load=ASK, elem_id="board-behind")
    with gr.Column(visible=False) as frame:
        shown = viewer.viewer([], elem_id="board-viewer")
    theirs = plain_html("", elem_id="board-published")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            curves = _plot("curves")
        with gr.Column(min_width=320):
            plane = _plot("plane")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            times = _plot("speed")
        with gr.Column(min_width=320):
            scatter = _plot("scatter")
            with gr.Row():
                pair = [
                    _choice(name, text)
                    for name, text in (("first", "Across"), ("second", "Upwards"))
                ]
    wins = plain_html("", elem_id="board-wins")
    if leaderboard.LEADERBOARD.exists():
        gr.DownloadButton(
            "Download every number (csv)", leaderboard.LEADERBOARD, elem_id="board-download"
        )

    def show(dataset, degradation, severity, metric, first, second, mine) -> dict:
        if not leaderboard.LEADERBOARD.exists():
            return {meaning: EMPTY}
        from eval import charts  # and plotly with it, which opening the page need not wait for

        rows = photos_with(mine)
        view, offers = choose(rows, dataset, degradation, severity, metric)
        standings = leaderboard.standings(leaderboard.scores(rows, view), view.metric)
        first, second = leaderboard.two_of([row.label for row in standings], first, second)
        names = [(leaderboard.title(row.label), row.label) for row in standings]
        return {
            **{
                filters[name]: gr.Dropdown(_for_people(name, values), value=getattr(view, name))
                for name, values in offers.items()
            },
            **{
                field: gr.Dropdown(names, value=label)
                for field, label in zip(pair, (first, second), strict=True)
            },
            meaning: report.meaning(view),
            table: report.standings_table(standings, view, opens=True),
            below: "",
            frame: gr.Column(visible=False),
            theirs: _published_table(standings, view),
            wins: report.wins_table(standings),
            ranking: charts.ranking(rows, view),
            curves: charts.severity_curves(rows, view),
            plane: charts.perception_distortion(rows, view),
            times: charts.speed_quality(rows, speed(), view),
            scatter: charts.photo_scatter(rows, view, first, second),
        }

    @for_people
    def ask(dataset, degradation, severity, metric, mine, event: gr.EventData):
        label, image = event.label, getattr(event, "image", None)
        view = View(dataset, degradation, getattr(event, "severity", severity), metric)
        scores = leaderboard.scores(photos_with(mine), view)
        if label not in scores:
            raise ValueError(f"{leaderboard.title(label)} was not measured here.")
        here = mine.dataset if mine and dataset == OWN else at_hand(dataset)
        yield {
            below: report.photos_table(scores, view, label, here is not None),
            frame: gr.Column(visible=here is not None),
            shown: viewer.state([]),
        }
        if here is None:
            return
        image = image or behind.default_image(scores[label].dropna(), metric)
        with runner.line.join() as place, tempfile.TemporaryDirectory() as folder:
            while not place.wait(HEARTBEAT):
                yield gr.skip()
            panels = behind.pictures(here, view, label, image, runner.enhancers, Path(folder))
            served = [viewer.serve(shown, panel) for panel in panels]
        yield {shown: viewer.state(served, time.time())}

    @for_people
    def measure(files, damages, methods):
        theirs = Own(files or [])
        jobs = own.plan(theirs, damages, methods)
        yield {mine: theirs, mine_csv: gr.DownloadButton(visible=False)}
        with closing(own.measure(theirs, jobs, runner.enhancers, runner.line)) as steps:
            for step in steps:
                yield {status: _progress(step)}
        yield {status: _measured(step)}

    def after(mine):
        """What was measured is shown, also where it was stopped."""
        found = mine is not None and mine.photos() is not None
        buttons = {start: gr.Button(interactive=True), stop: gr.Button(interactive=False)}
        if not found:
            return buttons
        button = gr.DownloadButton(value=str(mine.csv), visible=True)
        return buttons | {mine_csv: button} | show(OWN, None, None, None, None, None, mine)

    private = {"api_visibility": "private"}
    hidden = {"show_progress": "hidden", **private}
    fields = [*filters.values(), *pair]
    parts = [meaning, ranking, table, below, frame, theirs, curves, plane, times, scatter, wins]
    gr.on(
        [tab.select, *(field.input for field in fields)],
        show,
        [*fields, mine],
        [*fields, *parts],
        trigger_mode="always_last",
        concurrency_id="light",
        show_progress_on=ranking,
        **private,
    )
    below.ask(
        ask,
        [*filters.values(), mine],
        [below, frame, shown],
        trigger_mode="always_last",
        concurrency_id="behind",
        concurrency_limit=4,
        show_progress_on=below,
        **private,
    )
    click = start.click(
        lambda: {
            start: gr.Button(interactive=False),
            stop: gr.Button(interactive=True),
            status: markup.status("Reading the photos"),
        },
        None,
        [start, stop, status],
        queue=False,
        **hidden,
    )
    run = click.then(
        measure,
        [files, damages, methods],
        [mine, mine_csv, status],
        concurrency_id="own",
        concurrency_limit=4,
        **hidden,
    )
    stop.click(None, cancels=[run], **hidden)
    run.failure(lambda: markup.status("Stopped."), None, status, queue=False, **hidden)
    for event in (run.success, run.failure):
        event(
            after,
            mine,
            [start, stop, mine_csv, *fields, *parts],
            concurrency_id="light",
            show_progress_on=ranking,
            **private,
        )


def _progress(step: own.Progress) -> str:
    text = f"Measuring: {step.done} of {step.total} restorations"
    if step.ahead:
        text = f"Waiting: {step.ahead} before you"
    return markup.status(text, step.done / max(1, step.total), step.seconds_left)


def _measured(step: own.Progress) -> str:
    """The last word: what was done, and what could not be used."""
    left_out = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in step.skipped)
    listed = f"<p>Left out:</p><ul>{left_out}</ul>" if left_out else ""
    return markup.status(f"Done: {step.done} restorations.", 1) + listed


def _published_table(standings: Sequence[Standing], view: View) -> str:
    if published() is None:
        return ""
    return report.published_table(leaderboard.published(published(), view), standings, view)


def _for_people(field: str, values: Sequence) -> list[tuple[str, object]]:
    """Choices of a filter with their names."""
    titles = {
        "dataset": str,
        "degradation": leaderboard.kind_title,
        "severity": "{:g}".format,
        "metric": lambda name: METRICS[name].title,
    }
    return [(titles[field](value), value) for value in values]


def _choice(name: str, label: str) -> gr.Dropdown:
    """A dropdown whose choices `show` fills in.

    Any value is let through: when choices change, the browser sends the old one again, which
    Gradio would refuse with an error. `choose` and `two_of` take what comes nearest.
    """
    return gr.Dropdown(
        [], label=label, min_width=140, allow_custom_value=True, elem_id=f"board-{name}"
    )


def _plot(name: str) -> gr.Plot:
    return gr.Plot(show_label=False, container=False, elem_id=f"board-{name}", elem_classes="chart")
