"""The last tab: why the three rank as they do, and what the ranks are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import gradio as gr
import pandas as pd
import torch

import enhancers
from enhancers.inside import gan as critics
from enhancers.inside.vae import sharpness
from eval import leaderboard
from eval.metrics import METRICS, STANDARD, measure, psnr
from ui import leaderboard as shipped
from ui.inside.distortions import DISTORTIONS, spoil
from ui.inside.exhibit import Exhibit, Film, Picture, View, paragraphs, table, working
from ui.inside.gan import discriminator
from ui.inside.pictures import Subject
from ui.markup import number

CLASSICAL = ("gan", "diffusion", "vae")
"""The order of published comparisons, best first."""
POSITIONS = tuple(i / 10 for i in range(11))
STEPS = 8

WORDS = """
Comparisons of the three families usually end in this order: **GAN, diffusion, VAE**. The reasons
given are sound. A plain VAE squeezes the photo through a narrow code and decodes the average of
what the code allows: blurry. A diffusion model draws one likely photo, sharp, but with detail of
its own that costs it PSNR, and slowly. A GAN is sharp in one pass.

The order is not a law, though. It says as much of the sizes of the networks, the training and the
metric as of the families:

- **PSNR, SSIM and MSE reward being right on average.** The best answer to them is the mean of all
  photos that may lie behind the damage, whatever family computes it. Asked for one step, a
  diffusion model returns exactly that mean; a GAN before its adversarial training, too; and a VAE
  that decodes the mean of a code fine enough.
- **Looking real costs PSNR.** A sample has the texture a photo should have, but not in the places
  where it was. The better a method passes for a photo, the further it must move away from that
  mean (Blau and Michaeli 2018). Where a method stands on that line is a choice, not a merit.
- **Training decides the rest.** The three here saw the same photos, the same damage and have
  about the same size, so that the family is most of what differs, but not all: minutes of
  training and the shape of the network still count.
"""


def exhibits(by_name: dict) -> list[Exhibit]:
    """Return the figures of the tab. by_name: the enhancers of the page."""
    shown = [
        Exhibit(
            "why-ranks",
            "Why they rank as they do",
            WORDS,
            "Show what ours measured",
            ranks,
            parts=("chart",),
            alone=True,
        )
    ]
    if {"gan", "diffusion"} <= set(by_name):
        shown.append(
            Exhibit(
                "why-tradeoff",
                "Right or real: one slider",
                "At the left end the mean of all plausible photos, at the right end one of them, "
                f"drawn by the diffusion model in {STEPS} steps; in between, mixtures of the two "
                "pictures. For squared error no other road between the two ends is better "
                "(Freirich et al. 2021). Move the slider and watch what PSNR, fine detail and the "
                "discriminator make of it.",
                "Make the slider for my photo",
                partial(tradeoff, by_name),
                parts=("film", "chart"),
            )
        )
    shown.append(
        Exhibit(
            "why-metrics",
            "Same error, another look",
            " ".join(f"**{METRICS[name].title}.** {METRICS[name].meaning}" for name in STANDARD)
            + " PSNR is only MSE in other clothes; SSIM is something else. Here six ways to spoil "
            "your photo are driven until all have the PSNR you choose. To MSE and PSNR they are "
            "one; SSIM tells them apart; your eyes may differ from both.",
            "Spoil my photo",
            metrics,
            [
                partial(
                    gr.Slider,
                    16,
                    40,
                    24,
                    step=1,
                    label="PSNR of all six, dB",
                    elem_id="target-psnr",
                )
            ],
            live=True,
        )
    )
    return shown


def standings() -> pd.DataFrame:
    """Mean of each standard metric by method: over photos first, and then over kinds of damage."""
    photos = shipped.photos()
    rows = photos[photos["label"].isin(enhancers.NAMES) & photos["metric"].isin(STANDARD)]
    damage = ["dataset", "degradation", "severity"]
    means = rows.groupby([*damage, "label", "metric"])["value"].mean()
    return means.groupby(["label", "metric"]).mean().unstack("metric")


def order(means: pd.DataFrame, metric: str) -> list[str]:
    """Methods, best first."""
    return list(means[metric].sort_values(ascending=not METRICS[metric].higher_is_better).index)


def ranks() -> Iterator[View]:
    """The project's own ranking beside the classical one."""
    if not leaderboard.LEADERBOARD.exists():
        raise ValueError("Nothing has been measured yet: there is no assets/leaderboard.csv.")
    from ui.inside.charts import dots

    means = standings()
    orders = {metric: order(means, metric) for metric in STANDARD}
    title = enhancers.TITLES
    rows = [
        (title[name], *(number(metric, means[metric][name]) for metric in STANDARD))
        for name in orders["psnr"]
    ]
    photos = shipped.photos()
    count = photos[photos["label"].isin(enhancers.NAMES)].groupby(["dataset", "image"]).ngroups
    kinds = photos["degradation"].nunique()

    def said(names) -> str:
        return ", ".join(title[name] for name in names)

    same = [metric for metric in STANDARD if orders[metric] == list(CLASSICAL)]
    told = (
        "Ours agree with the classical order in " + ", ".join(METRICS[m].title for m in same) + "."
        if same
        else "None of the three is the classical order."
    )
    sentences = []
    if orders["psnr"] != orders["mse"]:
        sentences.append(
            "PSNR is the logarithm of MSE, and yet their orders differ: both are averages over "
            "photos, and a few photos that failed badly weigh heavily in a mean of squared errors "
            "and little in a mean of logarithms."
        )
    gap = means["psnr"].max() - means["psnr"].min()
    yield View(
        "",
        1,
        chart=dots(
            [title[name] for name in orders["psnr"]],
            [means["psnr"][name] for name in orders["psnr"]],
            orders["psnr"],
            "PSNR, dB, mean over kinds of damage",
        ),
        told=paragraphs(
            f"By PSNR: {said(orders['psnr'])}. By SSIM: {said(orders['ssim'])}. By MSE: "
            f"{said(orders['mse'])}. The classical order is {said(CLASSICAL)}. {told}",
            f"Between the best and the last lie {gap:.2f} dB. Means over {kinds} kinds of damage, "
            f"on {count} photos; the Leaderboard tab has each kind, and says which differences "
            "are sure.",
            *sentences,
        )
        + table(["Method", *(METRICS[metric].title for metric in STANDARD)], rows, "Our ranking"),
    )


def tradeoff(by_name: dict, subject: Subject) -> Iterator[View]:
    """Mixtures of the posterior mean and a sample, measured."""
    from ui.inside.charts import Line, lines

    diffusion, n = by_name["diffusion"], len(POSITIONS) + 2
    yield working(0, n)
    mean = diffusion.restore(subject.degraded, subject.mask, steps=1)
    yield working(1, n)
    sample = diffusion.restore(subject.degraded, subject.mask, steps=STEPS)
    frames, opinions, details, values = [], [], [], []
    for done, share in enumerate(POSITIONS):
        yield working(done + 2, n)
        picture = torch.lerp(mean, sample, share)
        where = critics.realism(discriminator(), picture, subject.degraded, subject.mask)
        opinions.append(100 * float(where.mean()))
        details.append(sharpness(picture))
        said = f"{100 * share:.0f}% of the way, looks true {opinions[-1]:.0f}%"
        if subject.clean is not None:
            values.append(psnr(picture, subject.clean))
            said += f", PSNR {values[-1]:.2f} dB"
        frames.append((said, [picture]))
    panels = {"PSNR, dB": [Line("PSNR", values)]} if values else {}
    panels["looks true, %"] = [Line("Discriminator", opinions)]
    panels["fine detail"] = [Line("Fine detail", details)]
    sentences = [
        f"From the mean to the sample, fine detail goes from {details[0]:.1f} to {details[-1]:.1f} "
        f"levels and the discriminator's approval from {opinions[0]:.0f}% to {opinions[-1]:.0f}%."
    ]
    if values:
        sentences.append(
            f"PSNR goes from {values[0]:.2f} to {values[-1]:.2f} dB; the truth itself has fine "
            f"detail of {sharpness(subject.clean):.1f} levels."
        )
    sentences.append(
        "Grain counts as detail too: where the sample looks worse than the mean, the model's later "
        "steps are not yet worth their noise."
    )
    yield View(
        "",
        1,
        film=Film("From the mean to a sample", ["Mixture"], frames),
        chart=lines([100 * p for p in POSITIONS], panels, "% of the way to the sample", height=140),
        told=paragraphs(*sentences),
    )


def metrics(subject: Subject, target: float) -> Iterator[View]:
    """The photo spoilt in several ways to one PSNR, and what SSIM says."""
    shown, rows, done = [Picture("Untouched", subject.best)], [], 0
    yield working(done, len(DISTORTIONS))
    for name in DISTORTIONS:
        spoilt = spoil(subject.best, name, target)
        scores = measure(spoilt, subject.best, STANDARD)
        rows.append((name, scores))
        done += 1
        yield working(done, len(DISTORTIONS) + 1)
        shown.append(Picture(name, spoilt, f"SSIM {number('ssim', scores['ssim'])}"))
    rows.sort(key=lambda row: row[1]["ssim"])
    ends = [f"{number('ssim', s['ssim'])} ({name.lower()})" for name, s in (rows[0], rows[-1])]
    yield View(
        "",
        1,
        shown,
        told=paragraphs(
            f"All have about {target:.0f} dB, yet SSIM goes from {ends[0]} to {ends[1]}."
        )
        + table(
            ["Distortion", *(METRICS[metric].title for metric in STANDARD)],
            [(name, *(number(m, scores[m]) for m in STANDARD)) for name, scores in rows],
            "Distortions of equal error",
        ),
    )
