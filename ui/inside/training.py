"""The training tab: a tiny model of each family learns before the visitor's eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import gradio as gr
from torch import Tensor

from enhancers.base import Enhancer
from enhancers.degradations import DEGRADATIONS
from enhancers.inside import fitted
from eval.datasets import SAMPLES, open_dataset
from eval.metrics import psnr
from ui import job, limits, markup
from ui.batch_tab import Halt
from ui.inside.exhibit import Picture, View, chart, paragraphs, strip, table, updates
from ui.line import Line, Place
from ui.restore import for_people, plain_html
from ui.runner import HEARTBEAT

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from enhancers.training.live import Moment

MINUTES = (1, 5)
MAX_PHOTOS = 12
QUEUED = "Waiting for a turn…"
WAITING = 8
"""Most visitors who see their place in the line of those who train; further ones are queued."""

ABOUT = f"""## Train a tiny one
A network of the same make as the shipped one, about a tenth of its size, starts from chance and
learns to undo one kind of damage. It is the real training, its loop, losses and batches, on a small
scale. Beside the curves stands what the network makes of a test photo that it never learns from.

A minute is little. On two free processor cores it takes most noise away, while blur, low
resolution and JPEG gain a fraction of a decibel, which is hardly seen. A tone curve fitted first
brightens what is too dark, and scratches are filled smoothly before the network sees them: there
the result is good from the start, and a minute adds little. The shipped model stands beside it for
comparison.

Your first photo is the test, and the model learns from the others, up to {MAX_PHOTOS - 1}. Given
fewer than two, it learns from the photos inside scikit-image. The model is deleted when the
training ends."""
OFF = (
    "Training is off on this server, which others use too: start the page on a computer of your "
    f"own, or set the environment variable `{limits.TRAINING}=1` before it starts."
)

CURVES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "vae": {
        "loss, nats": {"Loss": ("loss",)},
        "nats per pixel": {
            "KL": ("kl_f8_nats_per_pixel", "kl_f4_nats_per_pixel", "kl_f2_nats_per_pixel")
        },
    },
    "gan": {
        "loss of G": {"G alone": ("loss",), "G against D": ("g_loss",)},
        "loss of D": {"D": ("d_loss",)},
    },
    "diffusion": {
        "log error": {
            "Estimate": ("log_mse_estimate",),
            "From noise alone": ("log_mse_first_step",),
            "From less noise": ("log_mse_later_steps",),
        }
    },
}
"""Titles of panels, lines in them, and the sums of losses they show."""
READING = {
    "vae": (
        "The loss is half the logarithm of the squared error, plus the price of the code (KL), "
        "which counts more and more over the first third: the network first learns to code all it "
        "can, and then what it can leave out."
    ),
    "gan": (
        "First the generator G learns alone to be right: its loss, the logarithm of the squared "
        "error, falls. After two fifths of the time the discriminator D joins. From then on the "
        "loss of G is half that logarithm plus a tenth of its failure to convince D, and neither "
        "loss needs to fall, as both sides get better at once; a D that knows nothing has 1.39."
    ),
    "diffusion": (
        "Logarithms of squared errors. The estimate and what is predicted from noise alone both "
        "end at the mean of all photos that may lie behind the damage. From less noise, more of "
        "the photo can be seen, and the error is smaller."
    ),
}


def training_tab(enhancers: Mapping[str, Enhancer], line: Line) -> None:
    """Lay out the tab inside the present `gr.Blocks` and connect it; where it is off, say so.

    line: where everything waits that uses the enhancers; training gives others their turn.
    """
    if not limits.may_train():
        gr.Markdown(OFF, elem_id="training-off")
        return
    with gr.Column(elem_id="inside-training", elem_classes="exhibit"):
        gr.Markdown(ABOUT, elem_classes="about")
        with gr.Row(elem_classes="knobs"):
            family = gr.Radio(
                [(enhancer.spec.title, name) for name, enhancer in enhancers.items()],
                value=next(iter(enhancers)),
                label="Family",
                min_width=330,
                elem_id="training-family",
            )
            damage = gr.Dropdown(
                [(kind.title, name) for name, kind in DEGRADATIONS.items()],
                value="noise",
                label="Damage",
                min_width=180,
                elem_id="training-damage",
            )
            minutes = gr.Slider(
                *MINUTES, MINUTES[0], step=1, label="Minutes", min_width=180, elem_id="minutes"
            )
        with (
            gr.Row(elem_classes="knobs"),
            gr.Accordion("Photos of your own", open=False, elem_id="training-own"),
        ):
            files = gr.File(
                label="The first is the test",
                file_count="multiple",
                height=160,
                elem_id="training-photos",
            )
        with gr.Row():
            start = gr.Button(
                "Train", variant="primary", min_width=160, scale=0, elem_id="training-start"
            )
            stop = gr.Button(
                "Stop", interactive=False, min_width=100, scale=0, elem_id="training-stop"
            )
        status = plain_html("", elem_classes="progress", elem_id="training-status")
        with gr.Row(equal_height=False):
            shown = {"pictures": strip("16rem"), "chart": chart()}
        told = plain_html("", elem_classes="told")
    halt, trainings = gr.State(Halt()), Line()

    @for_people
    def train(halt, files, family, damage, minutes):
        def stopped() -> bool:
            return halt.asked

        photos = given_photos(files or [])
        views = show(enhancers, family, damage, minutes, photos, stopped)
        with closing(taking_turns(views, trainings, line, stopped)) as views:
            for view in views:
                yield updates(view, status, told, shown)

    def begin(halt: Halt) -> dict:
        halt.asked = False
        return buttons(running=True) | {status: markup.status(QUEUED)}

    def ask_to_stop(halt: Halt) -> None:
        halt.asked = True

    def buttons(running: bool) -> dict:
        return {start: gr.Button(interactive=not running), stop: gr.Button(interactive=running)}

    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    run = start.click(begin, halt, [start, stop, status], **quick).then(
        train,
        [halt, files, family, damage, minutes],
        [status, told, *shown.values()],
        concurrency_id="training",
        concurrency_limit=WAITING,
        show_progress="minimal",  # tells the place in line
        show_progress_on=status,
        api_visibility="private",
    )
    stop.click(ask_to_stop, halt, None, **quick)
    run.success(lambda: buttons(running=False), None, [start, stop], **quick)
    run.failure(
        lambda: buttons(running=False) | {status: markup.status("Failed.")},
        None,
        [start, stop, status],
        **quick,
    )


def given_photos(files: Sequence[str]) -> list[Tensor]:
    """Load the visitor's photos, the test first; scikit-image's follow where they do not suffice.

    Returns photos (1, 3, H, W) in [0, 1]. Raises ValueError with a sentence for the user.
    """
    if len(files) > MAX_PHOTOS:
        raise ValueError(f"Choose up to {MAX_PHOTOS} photos; these are {len(files)}.")
    from enhancers.training.live import SIDE  # accelerate takes a second to import

    photos = [fitted(job.load(file).pixels, SIDE) for file in files]
    if len(photos) < 2:
        photos += [entry.load() for entry in open_dataset(SAMPLES)]
    return photos


def show(
    enhancers: Mapping[str, Enhancer],
    family: str,
    damage: str,
    minutes: float,
    photos: Sequence[Tensor],
    stopped: Callable[[], bool],
) -> Iterator[View]:
    """Train, and yield what the page shows of every moment of it.

    photos: as from `given_photos`. stopped: asked before each moment, and ends the training.
    Closing the iterator ends it too. Raises ValueError with a sentence for the user.
    """
    if minutes is None or not MINUTES[0] <= minutes <= MINUTES[1]:
        got = "nothing" if minutes is None else f"{minutes:g}"
        raise ValueError(f"Training takes {MINUTES[0]:g} to {MINUTES[1]:g} minutes, but got {got}.")
    yield View("Preparing", 0)
    from enhancers.training import live

    enhancer, moments = enhancers[family], []
    shipped: Tensor | None = None
    with closing(live.train(family, damage, photos, minutes=minutes)) as training:
        while not stopped() and (moment := next(training, None)):
            moments.append(moment)
            if shipped is None:
                shipped = enhancer.restore(moment.degraded, moment.mask)
            yield View(
                "Training",
                moment.fraction,
                _pictures(moment, shipped, enhancer.spec.title),
                chart=curves(family, moments, shipped, minutes),
                told=paragraphs(READING[family]) if len(moments) == 1 else None,
                seconds_left=(1 - moment.fraction) * 60 * minutes,
            )
    if moments[1:]:
        yield View("", 1, told=_outcome(family, moments, shipped, enhancer.spec.title))
    else:
        yield View("", 1, told=paragraphs("Stopped before the first step."))


def taking_turns(
    views: Iterator[View], trainings: Line, line: Line, stopped: Callable[[], bool]
) -> Iterator[View]:
    """Let one training run at a time, and others have their turn before each of its views.

    trainings: where those wait who train; line: where everything waits that uses the processor.
    Who was asked to stop waits no longer.
    """
    fraction = 0.0
    with closing(views), trainings.join() as first:
        yield from _wait(first, fraction, stopped)
        while True:
            with line.join() as place:
                yield from _wait(place, fraction, stopped)
                view = next(views, None)
            if view is None:
                return
            fraction = view.fraction
            yield view


def _wait(place: Place, fraction: float, stopped: Callable[[], bool]) -> Iterator[View]:
    while not (place.wait(HEARTBEAT) or stopped()):
        yield View(f"Waiting: {place.ahead} before you", fraction)


def curves(family: str, moments: Sequence[Moment], shipped: Tensor, minutes: float) -> Figure:
    """Draw the losses so far and the PSNR on the test photo, over the whole time there is."""
    from ui.inside.charts import Line, level, lines

    panels = {
        title: [Line(name, [_sum(m.losses, parts) for m in moments]) for name, parts in of.items()]
        for title, of in CURVES[family].items()
    }
    panels["PSNR, dB"] = [Line("Tiny model", [m.psnr_db for m in moments])]
    figure = lines([m.seconds for m in moments], panels, "seconds of training", height=180)
    first = moments[0]
    level(figure, psnr(first.degraded, first.clean), "damaged", len(panels))
    level(figure, psnr(shipped, first.clean), "shipped", len(panels), above=True)
    return figure.update_xaxes(range=[0, 60 * minutes])


def _sum(losses: Mapping[str, float], parts: Sequence[str]) -> float | None:
    """Add up some of the losses; None where they were not logged."""
    return sum(losses[part] for part in parts) if set(parts) <= set(losses) else None


def _pictures(moment: Moment, shipped: Tensor, title: str) -> list[Picture]:
    def scored(name: str, pixels: Tensor) -> Picture:
        return Picture(name, pixels, f"PSNR {psnr(pixels, moment.clean):.2f} dB")

    return [
        scored("Damaged", moment.degraded),
        scored(f"Tiny {title}", moment.restored),
        scored(f"Shipped {title}", shipped),
        Picture("Truth", moment.clean),
    ]


def _outcome(family: str, moments: Sequence[Moment], shipped: Tensor, title: str) -> str:
    """What became of it, in words and numbers."""
    first, last = moments[0], moments[-1]
    before = psnr(first.degraded, first.clean)
    gain = last.psnr_db - before
    done = "Done" if last.fraction == 1 else "Stopped"
    rows = [moments[i * (len(moments) - 1) // 4] for i in range(5)]
    names = {name: parts for panel in CURVES[family].values() for name, parts in panel.items()}

    def cells(moment: Moment) -> list[str]:
        values = [_sum(moment.losses, parts) for parts in names.values()]
        return [*("–" if v is None else f"{v:.2f}" for v in values), f"{moment.psnr_db:.2f}"]

    return paragraphs(
        f"{done}: {last.steps} steps in {last.seconds:.0f} seconds of training. The test photo had "
        f"{before:.2f} dB, and the tiny {title} brought it to {last.psnr_db:.2f} dB, "
        f"{abs(gain):.2f} dB {'more' if gain > 0 else 'less'}. The shipped {title}, about ten "
        "times as large, trained for longer, on far more photos and for every kind of damage at "
        f"once, brings it to {psnr(shipped, first.clean):.2f} dB.",
        READING[family],
    ) + table(
        ["Second", *names, "PSNR, dB"],
        [(f"{row.seconds:.0f}", *cells(row)) for row in rows],
        "Training in numbers",
    )
