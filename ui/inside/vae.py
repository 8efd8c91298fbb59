"""The VAE's tab: what its code holds, and what happens when the code is changed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import gradio as gr
import torch

from enhancers import images
from enhancers.inside import vae as inside
from enhancers.inside.vae import EDITS, LEVELS, STRENGTHS, Direction
from eval.metrics import psnr
from ui import examples, job
from ui.inside.draws import draws
from ui.inside.exhibit import Exhibit, Film, Picture, View, paragraphs, table, working
from ui.inside.pictures import Subject, enlarged, false_colour
from ui.restore import photo_input

SAMPLES = 6
FRAMES = 9
PRIOR = 6
PRIOR_SIZE = 64
"""Pixels: the side of the crops that the VAE was mostly trained on."""
OTHER = "coffee.png"


def exhibits(vae) -> list[Exhibit]:
    """Return the figures of the tab for a VAE enhancer."""
    try:
        directions = inside.load_directions(vae.spec.sha256)
    except ValueError:  # of other weights; `knobs` says so when it is asked
        directions = {}
    return [
        Exhibit(
            "vae-knobs",
            "Turn the code's knobs",
            "The VAE turns a photo into a code of three layers of numbers, and the code into the "
            "restored photo. Moved along four directions, found once from the codes of many "
            "photos edited in their pixels, the code itself gets brighter, richer in contrast, "
            "sharper or more colourful. Strength 1 stands for an edit by a fifth.",
            "Edit my photo's code",
            partial(knobs, vae),
            [partial(_slider, name, directions.get(name)) for name in EDITS],
            ("pictures", "chart"),
            live=True,
            width="16rem",
        ),
        Exhibit(
            "vae-levels",
            "Where the code spends its nats",
            "The code has three levels, from coarse to fine. Above, the photo decoded from the "
            "first level alone, from two, and from all three, the rest left to what the VAE "
            "expects. Below, the KL divergence at each place: how much the photo's code tells "
            "that the level's prior did not expect, in nats (1 nat is 1.44 bits).",
            "Show the levels",
            partial(levels, vae),
        ),
        Exhibit(
            "vae-posterior",
            "What the VAE is unsure of",
            "The code of a photo is no point but a Gaussian. Draw from it, decode each draw, and "
            "the places where the draws differ are those the VAE is unsure of.",
            "Draw from my photo's code",
            partial(posterior, vae),
        ),
        Exhibit(
            "vae-between",
            "From one photo to another",
            "Codes can be mixed. This code keeps the photo's layout, so the way from one photo "
            "to another is close to a cross-fade, not to a metamorphosis; the figure says how "
            "close.",
            "Walk between the two",
            partial(between, vae),
            [_second_photo],
            ("film",),
        ),
        Exhibit(
            "vae-prior",
            "Photos from nothing?",
            "A VAE can decode codes that no photo has, drawn from its prior. This one was "
            "trained to restore, its prior hardly: what comes out is texture without objects, "
            f"at the {PRIOR_SIZE} pixels it was trained on, shown three times as large.",
            "Draw from the prior",
            partial(prior, vae),
            [partial(gr.Number, 0, label="Seed", precision=0, minimum=0)],
            alone=True,
            width="9rem",
        ),
    ]


def knobs(vae, subject: Subject, *strengths: float) -> Iterator[View]:
    """The code edited, measured, and what it costs."""
    directions = inside.load_directions(vae.spec.sha256)
    yield working(0, 2)
    code = inside.encode(vae, subject.degraded, subject.mask)
    before = code.restored
    yield working(1, 2)
    after = inside.edited(code, directions, dict(zip(EDITS, strengths, strict=True)))
    rows = [
        (f"{name.capitalize()} ({edit.unit})", *(f"{edit.measure(p):.1f}" for p in (before, after)))
        for name, edit in EDITS.items()
    ]
    if subject.clean is not None:
        rows.append(
            (
                "PSNR against the truth, dB",
                *(f"{psnr(p, subject.clean):.2f}" for p in (before, after)),
            )
        )
        cost = "The last row is what the edit costs in fidelity to the truth."
    else:
        rows.append(("PSNR against the unedited, dB", "–", _db(psnr(after, before))))
        cost = "Without a truth, the last row says how far the edit moved the picture."
    yield View(
        "",
        1,
        [
            Picture("Input", subject.degraded),
            Picture("Restored", before, "the code as it is"),
            Picture("Edited", after, _said(strengths)),
        ],
        chart=_effects(directions),
        told=table(["Measured", "as it is", "edited"], rows, "Effect of the edit")
        + paragraphs(
            cost,
            "The chart shows the same measures averaged over the photos the directions were tried "
            "on: all four grow steadily over the reach of their sliders.",
        ),
    )


def levels(vae, subject: Subject) -> Iterator[View]:
    """Decodings from fewer levels, and the KL map of each."""
    yield working(0, 4)
    code = inside.encode(vae, subject.degraded, subject.mask)
    decoded = []
    for n in (1, 2, 3):
        yield working(n, 4)
        decoded.append(inside.partial(code, n))
    maps = inside.nats(code)
    totals = [float(m.sum()) for m in maps]
    share = [100 * t / sum(totals) for t in totals]
    pixels = subject.degraded[0, 0].numel()
    names = ("1/8", "1/4", "1/2")
    shown = [
        Picture(
            " + ".join(names[:n]),
            picture,
            "" if subject.clean is None else f"PSNR {psnr(picture, subject.clean):.1f} dB",
            f"Decoded from the levels {', '.join(names[:n])}",
        )
        for n, picture in enumerate(decoded, 1)
    ]
    for name, factor, where, total, part in zip(names, LEVELS, maps, totals, share, strict=True):
        per_pixel = where / factor**2
        high = float(per_pixel.quantile(0.99))
        shown.append(
            Picture(
                f"KL at {name}",
                enlarged(false_colour(per_pixel, 0, high), factor),
                f"{total:,.0f} nats, {part:.0f}%; blue 0, yellow {high:.2g} nats per pixel",
            )
        )
    most = max(range(3), key=lambda i: share[i])
    yield View(
        "",
        1,
        shown,
        told=paragraphs(
            f"The photo costs {sum(totals):,.0f} nats in all, {sum(totals) / pixels:.2f} per "
            f"pixel. {share[most]:.0f}% of them are spent at {names[most]} of the resolution. Flat "
            "areas cost little, edges and texture much. Each map has a scale of its own."
        ),
    )


def posterior(vae, subject: Subject) -> Iterator[View]:
    """Samples of the photo's posterior, their mean, and where they differ."""
    yield working(0, SAMPLES + 1)
    code = inside.encode(vae, subject.degraded, subject.mask)
    drawn = []
    for sample in inside.samples(code, SAMPLES):
        drawn.append(sample)
        yield working(len(drawn), SAMPLES + 1)
    pictures, sentences = draws(subject, drawn, "Draw {}")
    if subject.clean is not None:
        sentences.append(
            "The decoded mean of the code, which is what the VAE returns, has "
            f"{psnr(code.restored, subject.clean):.2f} dB."
        )
    yield View("", 1, pictures, told=paragraphs(*sentences))


def between(vae, subject: Subject, other: str | None) -> Iterator[View]:
    """Decodings on the way from this photo's code to that of another."""
    if other is None:
        raise ValueError("Choose a second photo to walk to.")
    yield working(0, FRAMES + 1)
    H, W = subject.best.shape[-2:]
    second = _covering(job.load(other).pixels, H, W)
    codes = [inside.encode(vae, photo) for photo in (subject.best, second)]
    frames, faded = [], []
    for i in range(FRAMES):
        share = i / (FRAMES - 1)
        picture = inside.between(*codes, share)
        fade = torch.lerp(codes[0].restored, codes[1].restored, share)
        frames.append((f"{100 * share:.0f}% of the way", [picture, fade]))
        faded.append(psnr(picture, fade))
        yield working(i + 1, FRAMES + 1)
    yield View(
        "",
        1,
        film=Film("Way from one photo to the other", ["Codes mixed", "Pixels cross-faded"], frames,
                  FRAMES // 2),
        told=paragraphs(
            "Left, the decoded mixtures of the codes; right, a mere cross-fade of the two "
            f"pictures. Half way they agree to {_db(faded[FRAMES // 2])} dB of PSNR: above 30 dB "
            "the eye hardly tells them apart."
        ),
    )  # fmt: skip


def prior(vae, seed: float) -> Iterator[View]:
    """Decoded draws from the prior alone."""
    yield working(0, 1)
    drawn = inside.from_prior(vae, PRIOR, PRIOR_SIZE, job.check_seed(seed))
    yield View(
        "",
        1,
        [Picture(f"Draw {i + 1}", enlarged(one[None], 3), "from the prior, no photo given")
         for i, one in enumerate(drawn)],
        told=paragraphs(
            "These are samples of what the model believes photos to be before it has seen any. "
            "It was trained with little weight on that belief, because a restorer always sees a "
            "photo: judge it by the figures above, not by these."
        ),
    )  # fmt: skip


def _slider(name: str, direction: Direction | None) -> gr.Slider:
    low, high = (direction.low, direction.high) if direction else (-1, 1)
    return gr.Slider(
        low, high, 0, step=0.1, label=name.capitalize(), min_width=160, elem_id=f"knob-{name}"
    )


def _second_photo() -> gr.Image:
    example = next(e for e in examples.EXAMPLES if e.file == OTHER)
    return photo_input(
        value=examples.path(example),
        label="Second photo",
        sources=["upload", "clipboard"],
        height=180,
        alt_text="The photo to walk to",
        elem_id="second-photo",
    )


def _covering(photo: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Enlarge or shrink a photo to cover a size, and cut out its centre."""
    scale = max(height / photo.shape[-2], width / photo.shape[-1])
    size = [
        max(side, round(scale * s))
        for side, s in zip((height, width), photo.shape[-2:], strict=True)
    ]
    photo = torch.nn.functional.interpolate(photo, size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return images.quantise(photo[..., top : top + height, left : left + width])


def _effects(directions: dict[str, Direction]):
    from ui.inside.charts import Line, lines

    middle = STRENGTHS.index(0)
    return lines(
        STRENGTHS,
        {
            "% of the unedited": [
                Line(
                    name.capitalize(),
                    [
                        100 * effect / d.effect[middle] if d.low <= s <= d.high else None
                        for s, effect in zip(STRENGTHS, d.effect, strict=True)
                    ],
                )
                for name, d in directions.items()
            ]
        },
        "strength",
        height=240,
    )


def _said(strengths) -> str:
    moved = [f"{name} {s:+g}" for name, s in zip(EDITS, strengths, strict=True) if s]
    return ", ".join(moved) or "no knob turned yet"


def _db(value: float) -> str:
    return f"{value:.1f}" if value < 100 else "∞"
