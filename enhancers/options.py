"""What each enhancer lets the user set; apart from the networks, so that help costs no import."""

from __future__ import annotations

from enhancers.base import Option

OPTIONS: dict[str, tuple[Option, ...]] = {
    "vae": (),
    "gan": (
        Option(
            "realism",
            0,
            1,
            1,
            "0 keeps to what is certain, as the generator did before adversarial training; "
            "1 adds the texture it learnt from its discriminator.",
        ),
    ),
    "diffusion": (
        Option(
            "steps",
            1,
            16,
            1,
            "One step gives the mean of all plausible photos (best PSNR); "
            "more steps pick one of them, sharper and less certain.",
            integer=True,
        ),
    ),
}
