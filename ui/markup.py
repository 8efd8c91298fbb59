"""The pieces of HTML the page shows: progress, the tables of scores. No Gradio here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from eval.metrics import METRICS, WINDOW
from ui.job import SCORES
from ui.region import Region

UNSCORED = (
    "Quality cannot be scored here: that takes the true picture to compare with, and it is not "
    "known. To see scores, damage a clean photo on this page, or give the original of yours."
)
SCORED = (
    "All pixels, red, green and blue alike, of the 8-bit pictures as downloaded, against the true "
    "picture."
)


@dataclass(frozen=True)
class Row:
    """A line of the table; fields are None until they are known."""

    title: str
    scores: dict[str, float] | None = None
    seconds: float | None = None
    done: bool = False
    is_input: bool = False


def status(text: str, fraction: float | None = None, seconds_left: float | None = None) -> str:
    """One line saying what goes on, above a bar; no fraction, no progress."""
    left = "" if seconds_left is None else f", {duration(seconds_left)} left"
    value = 0 if fraction is None else fraction
    return (
        f'<div class="status"><p><span role="status">{escape(text)}</span>'
        f"<span>{left}</span></p>"
        f'<progress max="1" value="{value:.3f}" aria-label="Progress"></progress></div>'
    )


def duration(seconds: float) -> str:
    """A time to wait, as coarse as it is known."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min"


def number(name: str, value: float) -> str:
    """A metric's value for people."""
    if math.isnan(value):
        return "not defined"
    if math.isinf(value):
        return "∞"
    return f"{value:.{ {'psnr': 2, 'ssim': 4, 'mse': 1}[name] }f}"


def gain(row: Row, first: Row) -> str:
    """What a result is worth, in a few words; nothing where there are no scores."""
    if row.scores is None or first.scores is None:
        return ""
    text = f"{number('psnr', row.scores['psnr'])} dB"
    useful = _beats_input(row.scores["psnr"], [first], "psnr")
    return text if useful else f"no gain over the input ({text})"


def table(rows: Sequence[Row], scored: bool, settings: str = "") -> str:
    """Scores and times; the first row is the input. Best and useless values are named in words.

    settings: what was done with which settings, for people.
    """
    names = SCORES if scored else ()
    notes = (settings, SCORED if scored else UNSCORED)
    return (
        f'<section class="scores"><h2>Scores</h2>{_table(rows, names, timed=True)}'
        + "".join(f'<p class="note">{escape(note)}</p>' for note in notes if note)
        + "</section>"
    )


def paragraphs(sentences: Sequence[str]) -> str:
    """Plain text, as a screen reader tells it once it is there."""
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return f'<div aria-live="polite">{text}</div>'


def restore_label(seconds: float | None) -> str:
    """What stands on the button: how long it will take, once that is known."""
    return "Restore" if seconds is None else f"Restore ({duration(seconds)})"


def region_table(region: Region, rows: Sequence[Row] | None) -> str:
    """Scores inside a rectangle; None where the truth is not known."""
    if rows is None:
        note, content = UNSCORED, ""
    else:
        size, place = f"{region.width}×{region.height}", f"{region.x}, {region.y}"
        note = f"Inside {size} pixels at {place}, of the 8-bit pictures as downloaded."
        if min(region.width, region.height) < WINDOW:
            note += f" Too small for SSIM, which needs at least {WINDOW}×{WINDOW} pixels."
        content = _table(rows, SCORES, timed=False)
    return f'<section class="scores in-region"><p class="note">{note}</p>{content}</section>'


def _table(rows: Sequence[Row], names: Sequence[str], timed: bool) -> str:
    head = "".join(_heading(name) for name in names) + timed * '<th scope="col">Time</th>'
    body = "".join(_line(row, rows, names, timed) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Scores">'
        f'<table><thead><tr><th scope="col">Method</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _heading(name: str) -> str:
    metric = METRICS[name]
    unit = f", {metric.unit}" if metric.unit else ""
    direction = "higher is better" if metric.higher_is_better else "lower is better"
    return (
        f'<th scope="col" title="{escape(metric.meaning)}">{metric.title}{unit}'
        f"<small>{direction}</small></th>"
    )


def _line(row: Row, rows: Sequence[Row], names: Sequence[str], timed: bool) -> str:
    cells = "".join(_cell(row, rows, name) for name in names)
    time = "–" if row.seconds is None else f"{row.seconds:.1f} s"
    cells += timed * f"<td>{time}</td>"
    return f'<tr><th scope="row">{escape(row.title)}</th>{cells}</tr>'


def _cell(row: Row, rows: Sequence[Row], name: str) -> str:
    if row.scores is None:
        return "<td>–</td>"
    value = row.scores[name]
    text = number(name, value)
    if _is_best(value, rows, name):
        return f'<td class="best">{text} <small>best</small></td>'
    if not row.is_input and not _beats_input(value, rows, name):
        return f'<td class="no-gain">{text} <small>no gain over the input</small></td>'
    return f"<td>{text}</td>"


def _is_best(value: float, rows: Sequence[Row], name: str) -> bool:
    """Whether no other row has a better value, once there is something to compare."""
    values = [_goodness(row.scores[name], name) for row in rows if row.scores is not None]
    return len(values) > 1 and not math.isnan(value) and _goodness(value, name) >= max(values)


def _beats_input(value: float, rows: Sequence[Row], name: str) -> bool:
    inputs = [row.scores[name] for row in rows if row.is_input and row.scores is not None]
    if not inputs or math.isnan(value):
        return True
    return _goodness(value, name) > _goodness(inputs[0], name)


def _goodness(value: float, name: str) -> float:
    """A metric turned so that higher is better."""
    if math.isnan(value):
        return -math.inf
    return value if METRICS[name].higher_is_better else -value
