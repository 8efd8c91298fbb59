"""Several restorations of one photo, all of them equally meant: their mean, and their spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from enhancers.inside import deviation
from eval.metrics import psnr
from ui.inside.exhibit import Picture
from ui.inside.pictures import Subject, false_colour


def draws(subject: Subject, drawn: Sequence[Tensor], name: str) -> tuple[list[Picture], list[str]]:
    """Return the pictures to show of at least two restorations, and what is to be said of them.

    name: of each, with a place for its number.
    """
    mean = torch.cat(list(drawn)).mean(0, keepdim=True)
    spread = deviation(list(drawn))
    high = max(float(spread.quantile(0.99)), 0.1)

    def picture(title: str, pixels: Tensor) -> Picture:
        known = "" if subject.clean is None else f"PSNR {psnr(pixels, subject.clean):.2f} dB"
        return Picture(title, pixels, known)

    pictures = [
        picture("Input", subject.degraded),
        picture("Mean", mean),
        Picture(
            "Deviation",
            false_colour(spread, 0, high),
            f"blue 0, yellow {high:.1f} levels of 255",
            "Map of how much the results differ",
        ),
        *(picture(name.format(i), one) for i, one in enumerate(drawn)),
    ]
    sentences = [
        f"The {len(drawn)} results differ by {float(spread.mean()):.2f} levels of 255 on average."
    ]
    if subject.clean is not None:
        singles = [psnr(one, subject.clean) for one in drawn]
        together = psnr(mean, subject.clean)
        beats = (
            "more than every single one" if together > max(singles) else "not more than the best"
        )
        sentences.append(
            f"PSNR of their mean: {together:.2f} dB, {beats} ({min(singles):.2f} to "
            f"{max(singles):.2f} dB)."
        )
    return pictures, sentences
