"""The endpoints for scripts, `/degrade`, `/enhance` and `/methods`.

Plain arguments in, pictures out. Where `gradio[mcp]` is installed they are tools for language
models too, which read the docstrings: these have the form that Gradio takes apart.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import gradio as gr

from enhancers import images
from enhancers.degradations import DEGRADATIONS
from ui import job, limits
from ui.job import DAMAGE, DEGRADED, REFERENCE
from ui.restore import for_people, photo_input
from ui.runner import Runner

CANCEL_S = 1
"""Seconds after which a cancelled request is noticed: a run can end only where it yields, and
Gradio makes every output anew each time."""


@for_people
def degrade(
    photo: str, degradation: str = "noise", severity: float | None = None, seed: float = 0
) -> Iterator[tuple[str, str]]:
    """Damage a clean photo, to see how well it can be restored. Same seed, same damage.

    Args:
        photo: The clean photo, a PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF file.
        degradation: One of noise, shot, blur, motion, lowres, jpeg, dark, mixed and scratches.
        severity: In the unit of the degradation, see `methods`; left out, a middle one.
        seed: A whole number from 0, for the random part of the damage.

    Returns:
        The damaged picture, a PNG file.
        A mask, white where pixels are lost; black all over unless there are scratches.
    """
    task = job.prepare(photo, DAMAGE, degradation, severity, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mask = folder / "mask.png"
        images.to_pil(task.mask.expand(-1, 3, -1, -1)).convert("L").save(mask)
        yield job.save(task.degraded, task, folder, degradation, job.provenance(task)), str(mask)


def add_endpoints(runner: Runner) -> None:
    """Add the endpoints to the present `gr.Blocks`, on components that are never shown."""
    names = list(runner.enhancers)

    @for_people
    def enhance(photo, reference=None, mask=None, seed=0, options=None) -> Iterator[tuple]:
        """Restore a degraded photo with every method: a VAE, a GAN and a diffusion model.

        A generative model may invent detail: its pictures are no evidence. A client that iterates
        over the job gets each picture as soon as it is ready.

        Args:
            photo: The degraded photo, a PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF file.
            reference: The true picture, of the same size, for the scores; may be left out.
            mask: White where pixels are lost and to be invented, as `degrade` returns it.
            seed: A whole number from 0; the same seed gives the same pixels.
            options: By method, as in {"diffusion": {"steps": 4}}; `methods` lists them.

        Returns:
            One restored picture per method, each a PNG file.
            A report: for "input" and every method psnr in dB, ssim and mse (null without a
            reference, or where not finite), and seconds.
        """
        options = checked_options(runner, options)
        how = DEGRADED if reference is None else REFERENCE
        task = job.prepare(photo, how, reference=reference, mask=mask)
        seed = job.check_seed(seed)
        report = {"input": _finite(job.scores(task.degraded, task))}
        files = dict.fromkeys(names)
        yielded = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(runner.run(task.degraded, task.mask, seed=seed, options=options)) as updates,
        ):
            for update in updates:
                event = update.event
                if event is None or event.restored is None:
                    if time.monotonic() - yielded > CANCEL_S:
                        yield gr.skip()
                        yielded = time.monotonic()
                    continue
                spec = runner.enhancers[event.name].spec
                meta = job.metadata(task, spec, seed, options.get(event.name, {}))
                files[event.name] = job.save(event.restored, task, Path(folder), event.name, meta)
                report[event.name] = _finite(job.scores(event.restored, task)) | {
                    "seconds": round(event.seconds, 3)
                }
                yield *files.values(), report

    def methods() -> dict:
        """List what there is: methods with their options, degradations, and limits.

        Returns:
            methods, degradations and limits, each by name.
        """
        return {
            "methods": {
                name: {
                    "title": enhancer.spec.title,
                    "weights": enhancer.spec.parameters,
                    "weights_sha256": enhancer.spec.sha256,
                    "options": {option.name: asdict(option) for option in enhancer.spec.options},
                }
                for name, enhancer in runner.enhancers.items()
            },
            "degradations": {name: asdict(kind) for name, kind in DEGRADATIONS.items()},
            "limits": {
                "file_mb": limits.MAX_FILE_MB,
                "pixels": job.MAX_PIXELS,
                "waiting": limits.QUEUE,
                "kept_s": limits.KEPT + limits.SWEEP,
            },
        }

    gr.api(methods, api_name="methods", queue=False)
    picture = {"type": "filepath", "format": "png", "image_mode": None}
    with gr.Column(visible=False):
        photo = photo_input(label="Photo")
        kind = gr.Dropdown(list(DEGRADATIONS), value="noise", label="Degradation")
        severity = gr.Number(label="Severity")
        seed = gr.Number(0, label="Seed", precision=0)
        damaged = [gr.Image(label=label, **picture) for label in ("Degraded", "Mask")]
        gr.Button().click(
            degrade,
            [photo, kind, severity, seed],
            damaged,
            api_name="degrade",
            concurrency_id="light",
        )
        reference = photo_input(label="Reference")
        mask = photo_input(label="Mask")
        options = gr.JSON(label="Options")
        # Gradio's own says {} for a type, which no client for language models takes.
        options.api_info = lambda: {"type": "object", "description": "options by method"}
        titles = {name: enhancer.spec.title for name, enhancer in runner.enhancers.items()}
        gr.Button().click(
            enhance,
            [photo, reference, mask, seed, options],
            [gr.Image(label=titles[name], **picture) for name in names] + [gr.JSON(label="Scores")],
            api_name="enhance",
            concurrency_id="models",
        )


def checked_options(runner: Runner, options: dict | None) -> dict[str, dict[str, float]]:
    """Check options by method before any work. Raises ValueError for one that does not exist."""
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise ValueError(f"Expected options by method, but got {options!r}.")
    for name, values in options.items():
        if name not in runner.enhancers:
            methods = ", ".join(runner.enhancers)
            raise ValueError(f"There is no method {name!r}; there are {methods}.")
        if not isinstance(values, dict):
            raise ValueError(f"Expected the options of {name} by name, but got {values!r}.")
        known = {option.name: option for option in runner.enhancers[name].spec.options}
        for key, value in values.items():
            if key not in known:
                takes = ", ".join(known) or "none"
                raise ValueError(f"{name} has no option {key!r}; it takes {takes}.")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{key} must be a number, but got {value!r}.")
            known[key].check(value)
    return options


def _finite(scores: dict[str, float] | None) -> dict[str, float | None]:
    """Scores as JSON can hold them."""
    if scores is None:
        return dict.fromkeys(job.SCORES)
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}
