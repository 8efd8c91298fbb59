"""The diffusion model's tab: noise put on, noise taken off, and chance in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import gradio as gr

from enhancers.inside import diffusion as inside
from enhancers.inside import nothing
from enhancers.inside.diffusion import SCHEDULERS, Noisy
from enhancers.inside.vae import sharpness
from eval.metrics import psnr
from ui import job
from ui.inside.draws import draws
from ui.inside.exhibit import Exhibit, Film, Picture, View, paragraphs, table, working
from ui.inside.pictures import Subject, enlarged

STRIP = 8
FEW, MANY = 8, 12
"""Steps of the figures that restore several times, and of the film at most."""
SEEDS = 4
NOTHING = 128
"""Pixels of pictures from noise alone."""


def exhibits(diffusion) -> list[Exhibit]:
    """Return the figures of the tab for a diffusion enhancer."""
    steps = partial(gr.Slider, maximum=MANY, step=1, label="Steps", min_width=200)
    seed = partial(gr.Number, 0, label="Seed", precision=0, minimum=0, min_width=120)
    return [
        Exhibit(
            "diffusion-forward",
            "Drowning a photo in noise",
            "For training, photos are mixed with noise, a little more at every one of a thousand "
            "timesteps, until nothing of them is left; the network learns to see the photo in the "
            "mixture. The signal-to-noise ratio says how much is left: at 0 dB as much photo as "
            "noise, 10 dB less is ten times less.",
            "Add noise to my photo",
            partial(forward, diffusion),
        ),
        Exhibit(
            "diffusion-film",
            "And back: the film of a restoration",
            "Restoring goes the other way. Left, what the network sees at each step, beside the "
            "damaged photo; right, the clean photo it predicts from both. The first state is pure "
            "noise and says nothing, so the first prediction is the mean of all photos that may "
            "lie behind the damage: the best PSNR there is. Later steps settle for one of them.",
            "Film it",
            partial(film, diffusion),
            [partial(steps, minimum=1, value=8, elem_id="film-steps"), seed],
            ("film", "chart"),
        ),
        Exhibit(
            "diffusion-seeds",
            "Chance, and the wisdom of the crowd",
            f"Each seed is another noise to begin with and ends in another photo, after {FEW} "
            "steps here. Errors that come of chance cancel out in the mean of several, which is "
            "why it is blurrier than each and, as a rule, has a higher PSNR.",
            "Restore with several seeds",
            partial(seeds, diffusion),
        ),
        Exhibit(
            "diffusion-schedulers",
            "Other ways down",
            "The network only predicts; how to step from one state to the next is the scheduler's "
            "choice. All of these begin with the same noise and the same network and take the "
            "same number of steps; the first, which the Restore tab uses, adds fresh noise after "
            "each.",
            "Compare schedulers",
            partial(schedulers, diffusion),
            [partial(steps, minimum=2, value=6, elem_id="scheduler-steps")],
            ("pictures", "chart"),
        ),
        Exhibit(
            "diffusion-dream",
            "Photos from nothing?",
            "With the whole photo masked, the network has nothing but its own noise to go by. It "
            "was trained to restore; as a painter of new photos it is a poor one.",
            "Fill an empty frame",
            partial(dream, diffusion),
            [seed],
            alone=True,
            width="9rem",
        ),
    ]


def forward(diffusion, subject: Subject) -> Iterator[View]:
    """The photo at timesteps from the first to the last."""
    states = inside.forward(diffusion, subject.best, inside.spread_timesteps(diffusion, STRIP))
    even = min(states, key=lambda state: abs(state.snr_db))
    yield View(
        "",
        1,
        [Picture(f"t = {s.timestep}", inside.visible(s.state), _snr(s)) for s in states],
        told=paragraphs(
            f"The ratio falls from {states[0].snr_db:.0f} dB by about the same number of decibels "
            f"per timestep; at t = {even.timestep} it is {even.snr_db:.0f} dB, and at the last "
            "timestep it is exactly nothing: there restoring begins. What lies outside black and "
            "white is cut off to show it."
        ),
    )


def film(diffusion, subject: Subject, steps: float, seed: float) -> Iterator[View]:
    """Every state and prediction of one restoration."""
    from ui.inside.charts import Line, lines

    seed, walked = job.check_seed(seed), []
    yield working(0, int(steps))
    for step in inside.walk(diffusion, subject.degraded, subject.mask, steps=int(steps), seed=seed):
        walked.append(step)
        yield working(step.number, step.steps + 1)
    numbers = [step.number for step in walked]
    detail = [sharpness(step.clean) for step in walked]
    panels = {"fine detail": [Line("Fine detail", detail)]}
    sentences = [
        f"Fine detail (RMS of the Laplacian) goes from {detail[0]:.1f} to {detail[-1]:.1f} levels."
    ]
    quality = [""] * len(walked)
    if subject.clean is not None:
        values = [psnr(step.clean, subject.clean) for step in walked]
        panels = {"PSNR, dB": [Line("PSNR", values)]} | panels
        quality = [f", PSNR {value:.2f} dB" for value in values]
        best = max(range(len(values)), key=values.__getitem__)
        sentences.insert(
            0,
            f"PSNR is {values[0]:.2f} dB at the first step, best at step {best + 1} with "
            f"{values[best]:.2f} dB, and {values[-1]:.2f} dB at the last.",
        )
    else:
        sentences.append("There is no PSNR: that would take the true photo.")
    yield View(
        "",
        1,
        film=Film(
            "Step",
            ["What it sees", "What it predicts"],
            [
                (
                    f"step {s.number} of {s.steps}, {_snr(s.before)}{said}",
                    [inside.visible(s.before.state), s.clean],
                )
                for s, said in zip(walked, quality, strict=True)
            ],
        ),
        chart=lines(numbers, panels, "step", height=150),
        told=paragraphs(*sentences),
    )


def seeds(diffusion, subject: Subject) -> Iterator[View]:
    """Restorations with several seeds, their mean, and where they differ."""
    drawn, n = [], SEEDS * FEW
    for seed in range(SEEDS):
        for step in inside.walk(diffusion, subject.degraded, subject.mask, steps=FEW, seed=seed):
            yield working(seed * FEW + step.number, n + 1)
        drawn.append(step.clean)
    pictures, sentences = draws(subject, drawn, "Seed {}")
    sentences.append(
        "The deviation is the model's own doubt; compare it with the true error in the Restore tab."
    )
    yield View("", 1, pictures, told=paragraphs(*sentences))


def schedulers(diffusion, subject: Subject, steps: float) -> Iterator[View]:
    """One restoration per scheduler, at equal steps and from the same noise."""
    from ui.inside.charts import Line, lines

    steps, shown, curves, rows = int(steps), [], [], []
    for i, (name, title) in enumerate(SCHEDULERS.items()):
        walked = []
        for step in inside.walk(
            diffusion, subject.degraded, subject.mask, steps=steps, scheduler=name
        ):
            walked.append(step)
            yield working(i * steps + step.number, len(SCHEDULERS) * steps + 1)
        picture, detail = walked[-1].clean, [sharpness(step.clean) for step in walked]
        values = detail
        if subject.clean is not None:
            values = [psnr(step.clean, subject.clean) for step in walked]
        known = "–" if subject.clean is None else f"{values[-1]:.2f} dB"
        shown.append(Picture(title, picture, "" if known == "–" else f"PSNR {known}"))
        curves.append(Line(title, values))
        rows.append((title, known, f"{detail[-1]:.1f}"))
    yield View(
        "",
        1,
        shown,
        chart=lines(
            range(1, steps + 1),
            {"fine detail" if subject.clean is None else "PSNR, dB": curves},
            "step",
            height=240,
        ),
        told=table(["After the last step", "PSNR", "fine detail, levels"], rows, "Schedulers")
        + paragraphs(
            "Flow matching would be a fourth way, but it needs a network trained for it; these "
            "weights were not."
        ),
    )


def dream(diffusion, seed: float) -> Iterator[View]:
    """Pictures from noise alone."""
    first, shown = job.check_seed(seed), []
    for i in range(4):
        for step in inside.walk(diffusion, *nothing(NOTHING), steps=MANY, seed=first + i):
            yield working(i * MANY + step.number, 4 * MANY + 1)
        shown.append(
            Picture(f"Seed {first + i}", enlarged(step.clean, 2), f"from noise in {MANY} steps")
        )
    yield View(
        "",
        1,
        shown,
        told=paragraphs(
            "Textures without objects. The network has a few million weights, sees a neighbourhood "
            "of some dozens of pixels and was trained mostly on photos that it was given: models "
            "that paint whole scenes are hundreds of times larger and trained for nothing else."
        ),
    )


def _snr(state: Noisy) -> str:
    return "pure noise" if math.isinf(state.snr_db) else f"SNR {state.snr_db:.1f} dB"
