"""The API tab: how to use the page from a script, with all that it takes. No number is typed."""

from __future__ import annotations

import importlib.util

import gradio as gr

from enhancers.degradations import DEGRADATIONS
from ui import limits
from ui.runner import Runner

HAS_MCP = importlib.util.find_spec("mcp") is not None
"""Whether `gradio[mcp]` is installed: then the endpoints are tools for language models too."""

_EXAMPLES = """
Three endpoints, whose names and arguments stay. `ADDRESS` is the address of this page.

```python
from gradio_client import Client, handle_file  # pip install gradio_client

client = Client("ADDRESS")
photo = handle_file("photo.png")
degraded, mask = client.predict(photo, "noise", 25, api_name="/degrade")
job = client.submit(handle_file(degraded), photo, seed=1, api_name="/enhance")
print(job.status().rank)  # how many are before you, while you wait
*pictures, report = job.result()
print(report["diffusion"]["psnr"])
```

Without Python, send the photo, then the call, then ask for its result:

```sh
curl -F files=@photo.png ADDRESS/gradio_api/upload
curl ADDRESS/gradio_api/call/degrade -H "Content-Type: application/json" -d '{"data": [
    {"path": "WHAT THE UPLOAD SAID", "meta": {"_type": "gradio.FileData"}}, "noise", 25, 0]}'
curl -N ADDRESS/gradio_api/call/degrade/EVENT_ID
```
"""
_RULES = """
- The same request gives the same pixels; one asked for again is answered from memory.
- What cannot be done is answered by one sentence that says why: `AppError` in Python, an event
  `error` without it.
- Pictures are lossless PNGs. Each holds, as text chunks, what it takes to make it again: the
  recipe of its damage, seed, options, the weights' SHA-256, and versions.
- Scores are over all pixels and channels of the 8-bit pictures. They need the true picture.
"""
_MCP = """
### For language models

The endpoints are tools of an MCP server at `ADDRESS/gradio_api/mcp/` (streamable HTTP).
"""


def scripts_tab(runner: Runner) -> None:
    """Lay out the tab inside the present `gr.Blocks`."""
    gr.Markdown(text(runner), elem_id="api-text")


def text(runner: Runner, mcp: bool = HAS_MCP) -> str:
    """The whole tab, in Markdown. mcp: whether the page serves that protocol."""
    return "\n".join(
        [
            _EXAMPLES,
            "### `/degrade`: photo, degradation, severity, seed → damaged picture, mask\n",
            "Damages a clean photo. The mask is white where pixels are lost.\n",
            _table(("degradation", "severity", "from", "to", "default", "what it is"), _damages()),
            "\n### `/enhance`: photo, reference, mask, seed, options → pictures, report\n",
            "Restores a photo with every method. All but the photo may be left out: `reference` is "
            "the true picture, for the scores; `mask` is white where pixels are to be invented; "
            '`options` go by method, as in `{"diffusion": {"steps": 4}}`. The report has `psnr` in '
            "dB, `ssim`, `mse` on the 0-255 scale and `seconds`, for `input` and each method.\n",
            _table(("method", "option", "from", "to", "default", "what it does"), _options(runner)),
            "\n### `/methods` → what there is\n",
            "The methods with their weights' SHA-256, number of weights and options, the "
            "degradations, and the limits, as JSON.\n",
            "### Rules\n",
            _RULES,
            f"- {limits.sentence()} Files are deleted after at most {limits.kept()}.\n",
            _MCP if mcp else "",
        ]
    )


def _damages() -> list[tuple]:
    return [
        (f"`{d.name}`", d.unit, d.low, d.high, d.default, d.help) for d in DEGRADATIONS.values()
    ]


def _options(runner: Runner) -> list[tuple]:
    return [
        (f"`{name}`", f"`{o.name}`", o.low, o.high, o.default, o.help)
        for name, enhancer in runner.enhancers.items()
        for o in enhancer.spec.options
    ]


def _table(head: tuple[str, ...], rows: list[tuple]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: str | float) -> str:
    return value.replace("|", "\\|") if isinstance(value, str) else f"{value:g}"
