"""The Batch tab: many photos in, one zip file of results out."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ui import batch, markup
from ui.batch import Order, Progress
from ui.bundle import Row
from ui.controls import nested
from ui.job import DAMAGE, DEGRADED
from ui.limits import MAX_FILE_MB
from ui.restore import Form, for_people, plain_html
from ui.runner import Runner

READY, QUEUED = "Ready.", "Waiting for a turn…"
HOW = (
    ("Degraded already: restore them as they are", DEGRADED),
    ("Clean: damage them first, as set in the Restore tab", DAMAGE),
)
ABOUT = (
    "Restore many photos with one click; the results come as a zip file with the pictures, "
    "`metrics.csv` and `settings.json`. Damage, seeds and options are those of the Restore tab. "
    "A file that cannot be used is named, with the reason, and the others go on.\n\n"
    f"Up to {batch.MAX_PHOTOS} photos with together {batch.MAX_PIXELS / 1e6:.0f} million pixels; "
    f"each file, zip files included, up to {MAX_FILE_MB} MB, and zip files up to "
    f"{batch.MAX_UNPACKED / 1e6:.0f} MB unpacked and {batch.MAX_ENTRIES:,} entries. Other visitors "
    "are served between two photos."
)


class Halt:
    """Tells a batch to stop; the same object reaches its generator and the Stop button."""

    def __init__(self):
        self.asked = False


def batch_tab(runner: Runner, form: Form) -> None:
    """Lay out the tab inside the present `gr.Blocks` and connect it."""
    titles = {name: enhancer.spec.title for name, enhancer in runner.enhancers.items()}
    gr.Markdown(ABOUT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            files = gr.File(
                label="Photos, or zip files of photos",
                file_count="multiple",
                height=220,
                elem_id="batch-files",
            )
        with gr.Column(scale=4, min_width=320):
            how = gr.Radio(HOW, value=DEGRADED, label="These photos are", elem_id="batch-how")
            methods = gr.CheckboxGroup(
                [(title, name) for name, title in titles.items()],
                value=list(runner.enhancers),
                label="Methods",
                elem_id="batch-methods",
            )
    with gr.Row(equal_height=True):
        start = gr.Button("Restore all", variant="primary", min_width=140, elem_id="batch-start")
        stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="batch-stop")
        with gr.Column(scale=8, min_width=280):
            status = plain_html(markup.status(READY), elem_id="batch-status")
    download = gr.DownloadButton(
        "Download results (zip)", interactive=False, elem_id="batch-download"
    )
    results = plain_html("", elem_id="batch-results")
    halt = gr.State(Halt())

    @for_people
    def run(halt, files, how, methods, degradation, severity, damage_seed, seed, *values):
        order = Order(
            how,
            degradation,
            severity,
            damage_seed,
            seed,
            methods,
            nested(list(runner.enhancers.values()), values),
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            items = batch.unpack(files or [], folder)
            steps = batch.restore_all(runner, items, order, folder, lambda: halt.asked)
            with closing(steps):
                for shown in changes(steps, titles):
                    yield {
                        status: shown.status,
                        results: gr.skip() if shown.table is None else shown.table,
                        download: gr.DownloadButton(value=str(folder / batch.ZIP), interactive=True)
                        if shown.done
                        else gr.skip(),
                    }

    def begin(halt: Halt) -> dict:
        halt.asked = False
        return buttons(running=True) | {
            status: markup.status(QUEUED),
            results: "",
            download: gr.DownloadButton(value=None, interactive=False),
        }

    def ask_to_stop(halt: Halt) -> str:
        halt.asked = True
        return markup.status("Stopping…")

    def buttons(running: bool) -> dict:
        return {
            start: gr.Button(interactive=not running),
            stop: gr.Button(interactive=running),
        }

    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    damage = [form.degradation, form.severity, form.damage_seed]
    work = start.click(begin, halt, [start, stop, status, results, download], **quick).then(
        run,
        [halt, files, how, methods, *damage, form.seed, *form.sliders],
        [status, results, download],
        concurrency_id="batch",
        concurrency_limit=1,
        show_progress="minimal",
        show_progress_on=status,
        api_visibility="private",
    )
    stop.click(ask_to_stop, halt, status, **quick)
    work.success(lambda: buttons(running=False), None, [start, stop], **quick)
    work.failure(
        lambda: buttons(running=False) | {status: markup.status("Failed.")},
        None,
        [start, stop, status],
        **quick,
    )


@dataclass(frozen=True)
class Shown:
    """What the tab shows; a table that has not changed is left out."""

    status: str
    table: str | None
    done: bool


def changes(steps: Iterator[Progress], titles: Mapping[str, str]) -> Iterator[Shown]:
    """Turn the progress of a batch into what the tab shows. titles: of methods, by name."""
    rows: Sequence[Row] | None = None
    for step in steps:
        table = None if step.rows == rows else results_table(step.rows, titles)
        rows = step.rows
        text = f"Waiting: {step.ahead} before you" if step.ahead else step.text
        if step.done:
            text = summary(rows)
        yield Shown(markup.status(text, step.fraction), table, step.done)


def summary(rows: Sequence[Row]) -> str:
    """What became of a batch, in a sentence."""
    photos = {row.file.removesuffix(f".{row.method}.png") for row in rows if row.file}
    problems = sum(bool(row.problem) for row in rows)
    text = f"Done: {len(photos)} restored" + f", {problems} not" * bool(problems)
    return f"{text}. The zip file is ready."


def results_table(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """A line per picture, or the reason why there is none; the latest first."""
    lines = "".join(f"<tr>{''.join(cells(row, titles))}</tr>" for row in reversed(rows))
    names = ("Photo", "Method", "PSNR, dB", "SSIM", "MSE", "Time")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<section class="scores of-batch"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Results of the batch"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def cells(row: Row, titles: Mapping[str, str]) -> Iterator[str]:
    """The cells of a line; what is not known is a dash."""
    yield f'<th scope="row">{html.escape(row.photo)}</th>'
    if row.problem:
        yield f'<td colspan="5" class="words">{html.escape(row.problem)}</td>'
        return
    yield f'<td class="words">{html.escape(titles[row.method])}</td>'
    for name in ("psnr", "ssim", "mse"):
        value = getattr(row, name)
        yield f"<td>{'–' if value == '' else markup.number(name, value)}</td>"
    yield f"<td>{'–' if row.seconds == '' else f'{row.seconds:.1f} s'}</td>"
