"""The leaderboard's charts: pure functions from a table of results to a plotly figure.

`photos` is always a whole results file as from `results.per_photo`; a `View` says which part of
it is asked for, so that a method looks the same in every chart. A point's `customdata` says whose
photos lie behind it (`leaderboard.behind`). Colours are those of Okabe and Ito
2008, "Color universal design", told apart by the colour-blind too; markers differ as well, so that
colour is never the only cue. Backgrounds are transparent and the text's grey is readable on white
and on black. A chart for which nothing was measured says so in words.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from eval.leaderboard import (
    INPUT,
    Standing,
    View,
    behind,
    counted,
    damage_title,
    direction,
    kind_of,
    kind_title,
    scores,
    standings,
    title,
)
from eval.metrics import METRICS
from eval.results import label
from eval.statistics import mean, win_rates

TEXT = "#767a80"
"""Contrast 4.3 with white and 4.9 with black; a page may set its own colour."""
GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"
SMALL = 12
"""Pixels; also the size of the notes under a title."""
LINE = 50
"""Characters of a note that fit beside each other on a phone."""

DISTORTION = "psnr"
PERCEPTION = ("niqe", "hf_energy")
"""Metrics that ask how natural a picture looks; the first that was measured is taken."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str
    marker: str


FIXED = {
    INPUT: Style("#999999", "circle-open"),
    "vae": Style("#0072B2", "circle"),
    "gan": Style("#E69F00", "diamond"),
    "diffusion": Style("#009E73", "square"),
}
_COLOURS = ("#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_MARKERS = ("triangle-up", "triangle-down", "star", "pentagon", "x")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def styles(methods: Sequence[str]) -> dict[str, Style]:
    """Return how to draw each method, whatever the order they are given in."""
    others = sorted(set(methods) - set(FIXED))
    return FIXED | {
        name: Style(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)])
        for i, name in enumerate(others)
    }


def ranking(photos: pd.DataFrame, view: View) -> go.Figure:
    """Bars from the degraded input's mean to each method's, with 95% intervals and ranks."""
    table = scores(photos, view)
    if table.empty:
        return _nothing("No method was measured here with this metric.")
    rows = standings(table, view.metric)[::-1]  # plotly draws from the bottom up
    start = next((row.mean.value for row in rows if row.label == INPUT), 0.0)
    figure = _figure(
        _metric(view.metric),
        [
            *_where(view, counted([row.mean.n for row in rows])),
            f"{direction(view.metric)}; lines: 95% interval of the mean",
            *(["bars start at the degraded input"] if INPUT in table else []),
        ],
        height=44 * len(rows) + 40,
    )
    look = styles(photos["method"].unique())
    names = [_named(row, view.metric) for row in rows]
    colours = [look[_method(row.label)].colour for row in rows]
    points = {
        "hovertext": [_hover(row, view.metric) for row in rows],
        "hoverinfo": "text",
        "customdata": [behind(row.label) for row in rows],
    }
    figure.add_bar(
        orientation="h",
        y=names,
        x=[row.mean.value - start for row in rows],
        base=start,
        width=0.5,
        marker={"color": colours, "opacity": 0.55},
        **points,
    )
    figure.add_scatter(
        mode="markers",
        y=names,
        x=[row.mean.value for row in rows],
        marker={
            "color": colours,
            "symbol": [look[_method(row.label)].marker for row in rows],
            "size": 11,
            "line": {"color": TEXT, "width": 1},
        },
        error_x=_whiskers(rows),
        **points,
    )
    figure.update_layout(showlegend=False)
    figure.update_yaxes(showgrid=False, ticks="")
    figure.update_xaxes(title=_axis(view.metric))
    return figure


def severity_curves(photos: pd.DataFrame, view: View) -> go.Figure:
    """The metric against how strong the damage is, a line per method."""
    kind, name = kind_of(view.degradation), kind_title(view.degradation)
    rows = photos[
        (photos["dataset"] == view.dataset)
        & (photos["degradation"] == view.degradation)
        & (photos["metric"] == view.metric)
    ]
    severities = sorted(rows["severity"].unique())
    if len(severities) < 2:
        return _nothing(f"{name} was measured at fewer than two severities on {view.dataset}.")
    means = {
        key: mean(values.to_numpy())
        for key, values in rows.groupby(["label", "severity"], sort=False)["value"]
    }
    figure = _figure(
        f"{_metric(view.metric)}, the stronger the damage",
        [
            f"{name} · {view.dataset} · {counted([m.n for m in means.values()])}",
            f"{direction(view.metric)}; lines: 95% interval of the mean",
        ],
        entries=rows["label"].nunique(),
    )
    look = styles(photos["method"].unique())
    for name, dash in _dashes(dict.fromkeys(rows["label"])).items():
        xs = [s for s in severities if (name, s) in means]
        points = [Standing(name, means[name, s], None, {}) for s in xs]
        style = look[_method(name)]
        figure.add_scatter(
            name=title(name),
            mode="lines+markers",
            x=xs,
            y=[point.mean.value for point in points],
            error_y=_whiskers(points) | {"color": style.colour},
            line={"color": style.colour, "dash": dash},
            marker=_marker(style),
            hovertext=[_hover(point, view.metric) for point in points],
            hoverinfo="text",
            customdata=[behind(name, severity=severity) for severity in xs],
        )
    worse_when_higher = kind is None or kind.worse_when_higher
    figure.update_xaxes(
        title=f"{kind.unit if kind else 'severity'}, stronger to the right",
        tickvals=severities,
        autorange=True if worse_when_higher else "reversed",
    )
    figure.update_yaxes(title=_axis(view.metric))
    return figure


def perception_distortion(photos: pd.DataFrame, view: View) -> go.Figure:
    """Naturalness against faithfulness; the settings of one method are joined by a line.

    Blau and Michaeli 2018, "The perception-distortion tradeoff".
    """
    measured = set(photos.loc[photos["dataset"] == view.dataset, "metric"])
    perception = next((name for name in PERCEPTION if name in measured), None)
    x = scores(photos, View(view.dataset, view.degradation, view.severity, DISTORTION))
    y = scores(photos, View(view.dataset, view.degradation, view.severity, perception or ""))
    names = [name for name in x if name in y]
    if not names:
        wanted = " nor ".join(METRICS[name].title for name in PERCEPTION)
        return _nothing(f"How natural the pictures look was not measured here: neither {wanted}.")
    points = {name: (mean(x[name]), mean(y[name])) for name in names}
    figure = _figure(
        "Faithful or natural",
        [
            *_where(view, counted([n.n for pair in points.values() for n in pair])),
            f"{METRICS[DISTORTION].title}: {direction(DISTORTION)}; "
            f"{METRICS[perception].title}: {direction(perception)}"
            + ("; 1 is right" if METRICS[perception].higher_is_better is None else ""),
            "lines join the settings of one method",
        ],
        entries=len(names),
    )
    look, options = styles(photos["method"].unique()), _options(photos)
    for method, labels in _settings(photos, names).items():
        _add_settings(
            figure,
            method,
            look[method],
            labels,
            x=[Standing(name, points[name][0], None, {}) for name in labels],
            y=[Standing(name, points[name][1], None, {}) for name in labels],
            options=[options[name] for name in labels],
            hover=[
                f"<b>{title(name)}</b><br>{_value(points[name][0].value, DISTORTION)}"
                f"<br>{_value(points[name][1].value, perception)}"
                for name in labels
            ],
        )
    figure.update_xaxes(title=_axis(DISTORTION))
    figure.update_yaxes(
        title=_axis(perception),
        autorange="reversed" if METRICS[perception].higher_is_better is False else True,
    )
    return figure


def speed_quality(photos: pd.DataFrame, speed: pd.DataFrame, view: View) -> go.Figure:
    """The metric against the time of one restoration.

    speed: `assets/speed.csv`, as `eval.speed` writes it, read by pandas with empty cells as "".
    """
    timed = speed[speed["median_s"] != ""]
    table = scores(photos, view)
    names = [label(*pair) for pair in zip(timed["method"], timed["options"], strict=True)]
    timed = timed.assign(label=names)[[name in table for name in names]]
    if timed.empty:
        return _nothing("No method was both timed and measured here.")
    timed = timed[timed["size"] == timed["size"].iloc[0]].drop_duplicates("label")
    seconds = dict(zip(timed["label"], timed["median_s"].astype(float), strict=True))
    first = timed.iloc[0]
    points = {name: Standing(name, mean(table[name]), None, {}) for name in seconds}
    figure = _figure(
        f"{_metric(view.metric)}, and what it takes",
        [
            *_where(view, counted([point.mean.n for point in points.values()])),
            f"{direction(view.metric)}, and left is faster",
            *(
                [f"degraded input: {_value(mean(table[INPUT]).value, view.metric)}"]
                if INPUT in table
                else []
            ),
            f"time: {first['size'].replace('x', '×')} pixels, {first['threads']} threads, "
            f"{first['cpu'].replace('(R)', '')}",
        ],
        entries=len(seconds),
    )
    look, options = styles(photos["method"].unique()), _options(photos)
    for method, labels in _settings(photos, list(seconds)).items():
        _add_settings(
            figure,
            method,
            look[method],
            labels,
            x=[seconds[name] for name in labels],
            y=[points[name] for name in labels],
            options=[options[name] for name in labels],
            hover=[f"{_hover(points[n], view.metric)}<br>{seconds[n]:.3g} s" for n in labels],
        )
    figure.update_xaxes(title="seconds per photo", **_time_axis(seconds.values()))
    figure.update_yaxes(title=_axis(view.metric))
    return figure


def photo_scatter(photos: pd.DataFrame, view: View, first: str, second: str) -> go.Figure:
    """One method against another: a point per photo, and the line on which they would be equal.

    first, second: labels. Points are on the better side of the line for the method they favour.
    """
    table = scores(photos, view)
    if first == second or first not in table or second not in table:
        return _nothing("Choose two methods that were both measured here.")
    both = table[[first, second]].replace([float("inf")], float("nan")).dropna()
    if both.empty:
        return _nothing(f"No photo was measured with both {title(first)} and {title(second)}.")
    low, high = both.to_numpy().min(), both.to_numpy().max()
    notes = [*_where(view, counted([len(both)])), direction(view.metric)]
    if METRICS[view.metric].higher_is_better is not None:
        share = win_rates(both, METRICS[view.metric].higher_is_better).loc[second, first]
        notes.append(f"{title(second)} is better on {share:.0%} of the photos")
    figure = _figure(f"{_metric(view.metric)} of each photo", notes)
    figure.add_scatter(
        mode="lines", x=[low, high], y=[low, high], line={"color": TEXT, "dash": "dot"},
        hoverinfo="skip",
    )  # fmt: skip
    style = styles(photos["method"].unique())[_method(second)]
    figure.add_scatter(
        mode="markers",
        x=both[first],
        y=both[second],
        marker=_marker(style) | {"size": 8, "opacity": 0.75},
        hovertext=[
            f"<b>{image}</b><br>{title(first)}: {_value(x, view.metric)}"
            f"<br>{title(second)}: {_value(y, view.metric)}"
            for image, x, y in both.itertuples()
        ],
        hoverinfo="text",
        customdata=[behind(second, image=image) for image in both.index],
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title=f"{title(first)}: {_axis(view.metric)}")
    figure.update_yaxes(title=f"{title(second)}: {_axis(view.metric)}")
    return figure


# Parts


def _figure(heading: str, notes: Sequence[str], height: int = 290, entries: int = 0) -> go.Figure:
    """Return an empty figure.

    height: pixels of the plot itself, without heading, notes and legend. entries: of the legend,
    which has two columns.
    """
    lines = [line for note in notes for line in textwrap.wrap(note, LINE)]
    small = "".join(f"<br><span style='font-size:{SMALL}px'>{line}</span>" for line in lines)
    top = 40 + 16 * len(lines)
    axis = {"automargin": True, "fixedrange": True, "gridcolor": GRID, "zeroline": False}
    return go.Figure(
        layout={
            "template": "none",
            "title": {
                "text": f"<b>{heading}</b>{small}",
                "font": {"size": 15},
                "x": 0, "xref": "container", "xanchor": "left",
                "y": 1, "yref": "container", "yanchor": "top",
                "pad": {"t": 18, "l": 4},
            },
            "font": {"family": "system-ui, sans-serif", "size": SMALL, "color": TEXT},
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "margin": {"l": 8, "r": 12, "t": top, "b": 8},
            "height": height + top + 20 * math.ceil(entries / 2),
            "dragmode": False,  # a finger on the chart scrolls the page
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            "legend": {
                "orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom",
                "entrywidth": 0.48, "entrywidthmode": "fraction", "font": {"size": 11},
            },
            "xaxis": axis,
            "yaxis": axis,
        }
    )  # fmt: skip


def _nothing(sentence: str) -> go.Figure:
    """Return a figure that is only a sentence.

    It is as high as a chart: where it takes the place of one, plotly.js still leaves room for that
    one's legend, and fails where the room is not there.
    """
    figure = _figure("", [])
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(
        title=None,
        margin={"t": 8},
        annotations=[
            {
                "text": "<br>".join(textwrap.wrap(sentence, LINE)),
                "x": 0, "xref": "paper", "y": 1, "yref": "paper",
                "showarrow": False, "align": "left",
            }
        ],
    )  # fmt: skip


def _where(view: View, count: str) -> list[str]:
    return [f"{damage_title(view.degradation, view.severity)} · {view.dataset} · {count}"]


def _metric(name: str) -> str:
    return METRICS[name].title


def _axis(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title} in {metric.unit}" if metric.unit else metric.title


def _value(value: float, name: str) -> str:
    metric = METRICS[name]
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{metric.title} {value:.{metric.digits}f}{unit}"


def _named(row: Standing, metric: str) -> str:
    """A tick label of two lines: who, and how good."""
    rank = f", rank {row.rank}" if row.rank else ""
    number = f"{row.mean.value:.{METRICS[metric].digits}f}"
    return f"{title(row.label)}<br><span style='font-size:11px'>{number}{rank}</span>"


def _hover(row: Standing, metric: str) -> str:
    digits = METRICS[metric].digits
    lines = [f"<b>{title(row.label)}</b>", _value(row.mean.value, metric)]
    if not math.isnan(row.mean.low):
        lines.append(f"95% interval {row.mean.low:.{digits}f} to {row.mean.high:.{digits}f}")
    return "<br>".join([*lines, f"n = {row.mean.n}"])


def _whiskers(rows: Sequence[Standing]) -> dict:
    """Error bars to both ends of the intervals; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [row.mean.high - row.mean.value for row in rows],
        "arrayminus": [row.mean.value - row.mean.low for row in rows],
        "color": TEXT,
        "thickness": 1.5,
        "width": 4,
    }


def _time_axis(seconds: Collection[float]) -> dict:
    """A logarithmic axis, marked at 1, 2, 5, 10, ..., where times differ more than tenfold."""
    if max(seconds) <= 10 * min(seconds):
        return {}
    powers = range(math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds))) + 1)
    marks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}


def _marker(style: Style) -> dict:
    return {
        "color": style.colour,
        "symbol": style.marker,
        "size": 9,
        "line": {"color": TEXT, "width": 1},
    }


def _method(name: str) -> str:
    """The method of a label."""
    return name.split(":")[0]


def _dashes(names: Sequence[str]) -> dict[str, str]:
    """A dash per label: the settings of one method share its colour."""
    seen: dict[str, int] = {}
    dashes = {}
    for name in names:
        place = seen.setdefault(_method(name), 0)
        seen[_method(name)] += 1
        dashes[name] = _DASHES[place % len(_DASHES)]
    return dashes


def _settings(photos: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """Labels by method, those of one method in the order of their options' values."""
    numbers = {
        name: [float(pair.split("=")[1]) for pair in text.split()]
        for name, text in _options(photos).items()
    }
    settings: dict[str, list[str]] = {_method(name): [] for name in names}
    for name in sorted(names, key=numbers.__getitem__):
        settings[_method(name)].append(name)
    return settings


def _options(photos: pd.DataFrame) -> dict[str, str]:
    """Every option of each label, defaults included."""
    return dict(zip(photos["label"], photos["options"], strict=True))


def _add_settings(
    figure: go.Figure,
    method: str,
    style: Style,
    labels: Sequence[str],
    x: Sequence,
    y: Sequence[Standing],
    options: Sequence[str],
    hover: Sequence[str],
) -> None:
    """Add the points of one method; several are joined, and both ends named by their options."""
    joined = len(labels) > 1
    named = sum("text" in trace.mode for trace in figure.data)
    intervals = isinstance(x[0], Standing)
    figure.add_scatter(
        name=title(method) if joined else title(labels[0]),
        mode="lines+markers+text" if joined else "markers",
        x=[point.mean.value for point in x] if intervals else x,
        y=[point.mean.value for point in y],
        error_x=_whiskers(x) | {"color": style.colour} if intervals else None,
        error_y=_whiskers(y) | {"color": style.colour},
        text=[options[0], *[""] * (len(labels) - 2), options[-1]] if joined else None,
        textposition=("top left", "bottom right")[named % 2],
        cliponaxis=False,
        line={"color": style.colour},
        marker=_marker(style) | {"size": 11},
        hovertext=hover,
        hoverinfo="text",
        customdata=[behind(label) for label in labels],
    )
