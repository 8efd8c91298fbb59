"""What the page takes from its visitors, and how long it keeps it; stated where it matters."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ui.job import MAX_PIXELS

MAX_FILE_MB = 32
"""Largest file that may be uploaded, in units of 10^6 bytes."""
QUEUE = 32
"""Most requests that wait in line; further ones are turned away at once, and told so."""
KEPT = 3600
"""Seconds after which the server deletes what it was given and what it made."""
SWEEP = KEPT // 2
"""Seconds between two deletions, so that nothing stays for longer than both together."""
TRAINING = "TRIPTYCH_TRAINING"
"""Environment variable: 1 lets visitors train tiny models, 0 does not."""


def sentence() -> str:
    """The limits, for people."""
    return (
        f"A file may have up to {MAX_FILE_MB} MB and a photo up to {MAX_PIXELS / 1e6:.1f} million "
        f"pixels. Photos are restored one at a time, in the order of arrival, and up to {QUEUE} "
        "requests wait in line."
    )


def kept() -> str:
    """How long things are kept, for people."""
    return f"{(KEPT + SWEEP) / 60:.0f} minutes"


def may_train(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether visitors may train: where it is not said, on servers that nobody else can reach.

    Those are neither Spaces nor listening to a network nor shared through a tunnel.
    """
    chosen = environment.get(TRAINING, "").lower()
    if chosen:
        return chosen in ("1", "true", "yes", "on")
    own = environment.get("GRADIO_SERVER_NAME", "localhost") in ("localhost", "127.0.0.1", "::1")
    shared = environment.get("GRADIO_SHARE", "").lower() == "true"
    return own and not shared and "SPACE_ID" not in environment
