"""The endpoints for scripts, `/degrade` and `/enhance`: plain arguments in, pictures out."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import gradio as gr

from enhancers import images
from enhancers.degradations import DEGRADATIONS
from ui import job
from ui.job import DAMAGE, DEGRADED, REFERENCE
from ui.restore import for_people, photo_input
from ui.runner import Runner


@for_people
def degrade(
    photo: str, degradation: str = "noise", severity: float | None = None, seed: float = 0
) -> Iterator[tuple[str, str]]:
    """Damage a clean photo. The same seed gives the same damage.

    degradation: noise, shot, blur, motion, lowres, jpeg, dark, mixed or scratches.
    severity: in its own unit; leave it out for the default.
    Returns the damaged picture, and a mask that is white where pixels are lost (scratches only).
    """
    task = job.prepare(photo, DAMAGE, degradation, severity, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mask = folder / "mask.png"
        images.to_pil(task.mask.expand(-1, 3, -1, -1)).convert("L").save(mask)
        yield job.save(task.degraded, task, folder, degradation, job.provenance(task)), str(mask)


def add_endpoints(runner: Runner) -> None:
    """Add both endpoints to the present `gr.Blocks`, on components that are never shown."""
    names = list(runner.enhancers)

    @for_people
    def enhance(photo, reference=None, mask=None, seed=0, options=None) -> Iterator[tuple]:
        """Restore a degraded photo with every method.

        reference: the true picture, of the same size, for the scores; may be left out.
        mask: white where pixels are lost and to be invented, as `/degrade` returns it.
        options: by method, as in {"diffusion": {"steps": 4}}.
        Returns one restored picture per method, and a dictionary: for "input" and every method
        psnr, ssim and mse (null without a reference, or where not finite), and seconds.
        A client that iterates over the job gets each picture as soon as it is ready.
        """
        options = checked_options(runner, options)
        how = DEGRADED if reference is None else REFERENCE
        task = job.prepare(photo, how, reference=reference, mask=mask)
        seed = job.check_seed(seed)
        report = {"input": _finite(job.scores(task.degraded, task))}
        files = dict.fromkeys(names)
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(runner.run(task.degraded, task.mask, seed=seed, options=options)) as updates,
        ):
            for update in updates:
                event = update.event
                if event is None or event.restored is None:
                    yield gr.skip()  # a run can be cancelled only where it yields
                    continue
                spec = runner.enhancers[event.name].spec
                meta = job.metadata(task, spec, seed, options.get(event.name, {}))
                files[event.name] = job.save(event.restored, task, Path(folder), event.name, meta)
                report[event.name] = _finite(job.scores(event.restored, task)) | {
                    "seconds": round(event.seconds, 3)
                }
                yield *files.values(), report

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
