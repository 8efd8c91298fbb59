"""Line charts for the tabs, readable on light and dark pages and on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from eval.charts import CLEAR, FIXED, GRID, SMALL, TEXT

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Told apart by the colour-blind (Okabe and Ito 2008); dashes and markers differ too."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_MARKERS = ("circle", "diamond", "square", "triangle-up")


@dataclass(frozen=True)
class Line:
    """Numbers over the chart's x; None leaves a gap."""

    name: str
    y: Sequence[float | None]


def lines(
    x: Sequence[float], panels: dict[str, Sequence[Line]], x_title: str, height: int = 190
) -> go.Figure:
    """Draw lines in panels above each other, which share x; `panels` maps a y title to its lines.

    height: pixels of each panel.
    """
    figure = make_subplots(len(panels), 1, shared_xaxes=True, vertical_spacing=0.08)
    count = 0
    for row, (title, of_panel) in enumerate(panels.items(), 1):
        for line in of_panel:
            figure.add_scatter(
                x=list(x),
                y=list(line.y),
                name=line.name,
                mode="lines+markers" if len(x) < 40 else "lines",
                line={"color": COLOURS[count % 4], "dash": _DASHES[count % 4]},
                marker={"symbol": _MARKERS[count % 4], "size": 7},
                row=row,
                col=1,
            )
            count += 1
        figure.update_yaxes(title={"text": title, "standoff": 6}, row=row, col=1)
    figure.update_xaxes(title=x_title, row=len(panels), col=1)
    return _styled(figure, height * len(panels) + 90, legend=count > 1)


def level(figure: go.Figure, y: float, name: str, row: int, above: bool = False) -> None:
    """Add a thin horizontal line at a number to a panel of `lines`, counted from 1.

    above: whether its name stands above it, or else below.
    """
    figure.add_hline(
        y,
        line={"color": TEXT, "width": 1, "dash": "dot"},
        annotation_text=f"{name} {y:.1f}",
        annotation_position="top right" if above else "bottom right",
        row=row,
        col=1,
    )


def dots(
    titles: Sequence[str], values: Sequence[float], methods: Sequence[str], title: str
) -> go.Figure:
    """Draw a dot per method, its value beside it, in the method's colour and shape everywhere."""
    styles = [FIXED[name] for name in methods]
    figure = go.Figure(
        go.Scatter(
            x=list(values),
            y=list(titles),
            mode="markers+text",
            marker={
                "color": [style.colour for style in styles],
                "symbol": [style.marker for style in styles],
                "size": 14,
            },
            text=[f"  {value:.2f}" for value in values],
            textposition="middle right",
            cliponaxis=False,
        )
    )
    room = 0.2 * (max(values) - min(values)) + 0.02
    figure.update_xaxes(title=title, range=[min(values) - room, max(values) + 2 * room])
    figure.update_yaxes(range=[len(titles) - 0.5, -0.5])
    return _styled(figure, 50 * len(titles) + 80, legend=False)


def _styled(figure: go.Figure, height: int, legend: bool) -> go.Figure:
    axis = {"automargin": True, "fixedrange": True, "gridcolor": GRID, "zeroline": False}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure.update_layout(
        template="none",
        font={"family": "system-ui, sans-serif", "size": SMALL, "color": TEXT},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        margin={"l": 8, "r": 12, "t": 40 if legend else 12, "b": 8},
        height=height,
        dragmode=False,  # a finger on the chart scrolls the page
        hovermode="x unified",
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
    )
