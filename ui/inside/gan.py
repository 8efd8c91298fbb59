"""The GAN's tab: its discriminator's eye, its noise, and the fight the two had."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import gradio as gr

from enhancers.inside import deviation, nothing
from enhancers.inside import gan as inside
from enhancers.inside.vae import sharpness
from eval.metrics import psnr
from ui import job
from ui.inside.draws import draws
from ui.inside.exhibit import Exhibit, Film, Picture, View, paragraphs, table, working
from ui.inside.pictures import Subject, enlarged, false_colour, stacked

SEEDS = 5
POSITIONS = tuple(i / 8 for i in range(9))
"""Of `realism`."""
NOTHING = 128
"""Pixels of pictures from noise alone."""

discriminator = cache(inside.load_discriminator)
"""Loaded when first asked for."""


def exhibits(enhancers: dict) -> list[Exhibit]:
    """Return the figures of the tab. enhancers: all of the page, by name."""
    gan = enhancers["gan"]
    return [
        Exhibit(
            "gan-critic",
            "Through the discriminator's eyes",
            "A GAN is two networks: the generator restores, and the discriminator, which is "
            "thrown away afterwards and kept here, learns to tell its results from true photos. "
            "Each patch of a map is its opinion of the 8×8 pixels there and of some 70 around "
            "them: yellow looks true, blue restored.",
            "Let it judge all results",
            partial(critic, enhancers),
        ),
        Exhibit(
            "gan-noise",
            "What its noise changes",
            "Beside the photo the generator gets noise, which chooses one of the pictures that "
            "may lie behind the damage. How much the pictures differ shows how much it invents.",
            "Restore with other noise",
            partial(noise, gan),
        ),
        Exhibit(
            "gan-path",
            "From faithful to realistic",
            "The generator learnt twice: first to be right on average, then to convince the "
            "discriminator. Every mixture of the two sets of weights restores too, and `realism` "
            "says how far to go.",
            "Walk the path",
            partial(path, gan),
            parts=("film", "chart"),
        ),
        Exhibit(
            "gan-dream",
            "Photos from nothing?",
            "With the whole photo masked, nothing but noise is left to work from. A small "
            "restorer like this has learnt to fill holes from what lies around them; around "
            "these there is nothing, and it shows.",
            "Fill an empty frame",
            partial(dream, gan),
            [partial(gr.Number, 0, label="Seed", precision=0, minimum=0)],
            alone=True,
            width="9rem",
        ),
        Exhibit(
            "gan-contest",
            "How the two fought",
            "Training in numbers: the losses of both, and how probable the discriminator called "
            "true photos and restored ones.",
            "Show the curves",
            partial(contest, gan),
            parts=("chart",),
            alone=True,
        ),
    ]


def critic(enhancers: dict, subject: Subject) -> Iterator[View]:
    """The discriminator's map over the truth, the input and every result."""
    pictures = {} if subject.clean is None else {"Truth": subject.clean}
    pictures["Input"] = subject.degraded
    for done, enhancer in enumerate(enhancers.values()):
        yield working(done, len(enhancers) + 1)
        pictures[enhancer.spec.title] = enhancer.restore(subject.degraded, subject.mask)
    yield working(len(enhancers), len(enhancers) + 1)
    shown, scores = [], {}
    for name, picture in pictures.items():
        where = inside.realism(discriminator(), picture, subject.degraded, subject.mask)
        scores[name] = 100 * float(where.mean())
        shown.append(
            Picture(
                name,
                stacked(picture, enlarged(false_colour(where, 0, 1), 8)),
                f"looks true: {scores[name]:.0f}%",
                f"{name}, above the map of how true it looks, {scores[name]:.0f}% on average",
            )
        )
    order = ", ".join(f"{n} {s:.0f}%" for n, s in sorted(scores.items(), key=lambda p: -p[1]))
    yield View(
        "",
        1,
        shown,
        told=paragraphs(
            f"From the truest to the falsest look: {order}. Blue is 0%, yellow 100%; 50% means "
            "that the discriminator cannot tell.",
            "It was trained on results of the generator alone and knows the damaged photo too, so "
            "its opinion of the other two is a second opinion, not a verdict.",
        ),
    )


def noise(gan, subject: Subject) -> Iterator[View]:
    """Restorations with several seeds, and where they differ."""
    drawn = []
    for seed in range(SEEDS):
        yield working(seed, SEEDS)
        drawn.append(gan.restore(subject.degraded, subject.mask, seed=seed))
    pictures, sentences = draws(subject, drawn, "Noise {}")
    if float(deviation(drawn).mean()) < 0.5:
        sentences.append(
            "So little means that this generator has learnt to ignore its noise, the usual end of "
            "training that rewards being right on average: mode collapse, in a mild form."
        )
    yield View("", 1, pictures, told=paragraphs(*sentences))


def path(gan, subject: Subject) -> Iterator[View]:
    """Restorations at every mixture of the two generators, judged."""
    from ui.inside.charts import Line, lines

    frames, rows = [], []
    for done, realism in enumerate(POSITIONS):
        yield working(done, len(POSITIONS))
        picture = gan.restore(subject.degraded, subject.mask, realism=realism)
        where = inside.realism(discriminator(), picture, subject.degraded, subject.mask)
        distance = None if subject.clean is None else psnr(picture, subject.clean)
        rows.append((realism, distance, 100 * float(where.mean()), sharpness(picture)))
        known = "" if distance is None else f", PSNR {distance:.2f} dB"
        frames.append((f"realism {realism:g}{known}, looks true {rows[-1][2]:.0f}%", [picture]))
    _, distances, opinions, detail = zip(*rows, strict=True)
    panels = {"looks true, %": [Line("Discriminator", opinions)]}
    if subject.clean is not None:
        panels = {"PSNR, dB": [Line("PSNR", distances)]} | panels
    yield View(
        "",
        1,
        film=Film("Realism", ["Restored"], frames, len(POSITIONS) - 1),
        chart=lines(POSITIONS, panels, "realism", height=150),
        told=paragraphs(
            f"From realism 0 to 1, the discriminator's approval goes from {opinions[0]:.0f}% to "
            f"{opinions[-1]:.0f}% and fine detail (RMS of the Laplacian) from {detail[0]:.1f} to "
            f"{detail[-1]:.1f} levels"
            + (
                "."
                if subject.clean is None
                else f"; PSNR goes from {distances[0]:.2f} to {distances[-1]:.2f} dB."
            ),
        ),
    )


def dream(gan, seed: float) -> Iterator[View]:
    """Pictures from noise alone."""
    first = job.check_seed(seed)
    shown = []
    for i in range(4):
        yield working(i, 4)
        picture = gan.restore(*nothing(NOTHING), seed=first + i)
        shown.append(Picture(f"Seed {first + i}", enlarged(picture, 2), "nothing given but noise"))
    yield View(
        "",
        1,
        shown,
        told=paragraphs(
            "Not photos, and not meant to be: the model has a few million weights, was trained for "
            "restoration, and sees some dozens of pixels around each point. GANs that dream up "
            "faces are hundreds of times larger and trained for nothing else."
        ),
    )


def contest(gan) -> Iterator[View]:
    """Losses and scores of the adversarial phase."""
    curves = inside.read_curves(gan.spec.training)
    if curves is None or not curves.minutes:
        yield View("", 1, told=paragraphs("No training log is kept beside these weights."))
        return
    from ui.inside.charts import Line, lines

    values = {name: list(numbers) for name, numbers in curves.values.items()}
    real, fake = ([100 * v for v in values[name]] for name in ("d_real", "d_fake"))
    start, end = curves.minutes[0], curves.minutes[-1]
    sentences = [
        f"From minute {start:.0f} to {end:.0f} of training. A discriminator that knows nothing "
        "says 50% to everything, and its loss is 1.39 (twice the logarithm of 2). The further the "
        "two scores part, the better it tells photos from results; if they part entirely, the "
        "generator learns nothing more, and if they meet, the discriminator has lost.",
        f"Here it ended at {real[-1]:.0f}% for true photos and {fake[-1]:.0f}% for restored ones. "
        "Losses of a GAN do not fall as others do, for both sides get better at once.",
    ]
    if not curves.shipped:
        sentences.append("The curves are of an earlier run than the weights in use.")
    yield View(
        "",
        1,
        chart=lines(
            curves.minutes,
            {
                "loss, nats": [Line("D", values["d_loss"]), Line("G", values["g_adversarial"])],
                "D says “true”, %": [Line("of photos", real), Line("of results", fake)],
            },
            "minutes of training",
            height=200,
        ),
        told=paragraphs(*sentences)
        + table(
            ["", "at first", "at last"],
            [
                ("D's loss", f"{values['d_loss'][0]:.2f}", f"{values['d_loss'][-1]:.2f}"),
                ("G's loss", *(f"{values['g_adversarial'][i]:.2f}" for i in (0, -1))),
                ("Photos called true", f"{real[0]:.0f}%", f"{real[-1]:.0f}%"),
                ("Results called true", f"{fake[0]:.0f}%", f"{fake[-1]:.0f}%"),
            ],
            "Training, first and last",
        ),
    )
