"""The Leaderboard tab: what was measured, how sure it is, and how the methods trade things off."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import pandas as pd

from eval import leaderboard, report
from eval.leaderboard import Standing, View
from eval.metrics import METRICS
from eval.published import PUBLISHED, read_published
from eval.results import per_photo, read_results

CSS = report.CSS + (Path(__file__).parent / "leaderboard.css").read_text(encoding="utf-8")
EMPTY = "<p>Nothing has been measured yet: there is no assets/leaderboard.csv.</p>"
INTRODUCTION = (
    "Every number comes from one file, measured on the 8-bit pictures a visitor would download. "
    "Means are over photos, with the interval that 95 of 100 such samples of photos would give."
)


@functools.cache
def photos() -> pd.DataFrame:
    """The shipped results, one value per photo; read when the tab is first opened."""
    return per_photo(read_results(leaderboard.LEADERBOARD))


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


def leaderboard_tab(tab: gr.Tab) -> None:
    """Lay out the tab inside the present `gr.Blocks` and connect it; it fills when first opened."""
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        filters = {
            name: gr.Dropdown([], label=text, min_width=140, elem_id=f"board-{name}")
            for name, text in (
                ("dataset", "Photos"),
                ("degradation", "Damage"),
                ("severity", "Severity"),
                ("metric", "Metric"),
            )
        }
    meaning = gr.HTML(apply_default_css=False, elem_id="board-meaning")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            ranking = _plot("ranking")
        with gr.Column(min_width=320):
            table = gr.HTML(apply_default_css=False, elem_id="board-table")
    theirs = gr.HTML(apply_default_css=False, elem_id="board-published")
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
                    gr.Dropdown([], label=text, min_width=140, elem_id=f"board-{name}")
                    for name, text in (("first", "Across"), ("second", "Upwards"))
                ]
    wins = gr.HTML(apply_default_css=False, elem_id="board-wins")
    if leaderboard.LEADERBOARD.exists():
        gr.DownloadButton(
            "Download every number (csv)", leaderboard.LEADERBOARD, elem_id="board-download"
        )

    def show(dataset, degradation, severity, metric, first, second) -> dict:
        if not leaderboard.LEADERBOARD.exists():
            return {meaning: EMPTY}
        from eval import charts  # and plotly with it, which opening the page need not wait for

        view, offers = choose(photos(), dataset, degradation, severity, metric)
        standings = leaderboard.standings(leaderboard.scores(photos(), view), view.metric)
        first, second = two_of([row.label for row in standings], first, second)
        methods = [(leaderboard.title(row.label), row.label) for row in standings]
        return {
            **{
                filters[name]: gr.Dropdown(_for_people(name, values), value=getattr(view, name))
                for name, values in offers.items()
            },
            **{
                field: gr.Dropdown(methods, value=label)
                for field, label in zip(pair, (first, second), strict=True)
            },
            meaning: report.meaning(view),
            table: report.standings_table(standings, view),
            theirs: _published_table(standings, view),
            wins: report.wins_table(standings),
            ranking: charts.ranking(photos(), view),
            curves: charts.severity_curves(photos(), view),
            plane: charts.perception_distortion(photos(), view),
            times: charts.speed_quality(photos(), speed(), view),
            scatter: charts.photo_scatter(photos(), view, first, second),
        }

    fields = [*filters.values(), *pair]
    gr.on(
        [tab.select, *(field.input for field in fields)],
        show,
        fields,
        [*fields, meaning, ranking, table, theirs, curves, plane, times, scatter, wins],
        trigger_mode="always_last",
        concurrency_id="light",
        show_progress_on=ranking,
        api_visibility="private",
    )


def two_of(labels: Sequence[str], first: str | None, second: str | None) -> tuple[str, str]:
    """Return the two methods chosen, or else the two best that leave the input out."""
    best = [label for label in labels if label != leaderboard.INPUT] or list(labels)
    second = second if second in labels else best[0]
    others = [label for label in [*best, *labels] if label != second]
    return first if first in labels else (others or labels)[0], second


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


def _plot(name: str) -> gr.Plot:
    return gr.Plot(show_label=False, container=False, elem_id=f"board-{name}", elem_classes="chart")
