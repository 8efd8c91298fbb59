"""Start the web page: `python app.py`. Hugging Face Spaces runs this file too."""

import contextlib

with contextlib.suppress(ImportError):  # on ZeroGPU it must come before anything that uses CUDA
    import spaces  # noqa: F401

import torch

import enhancers
from ui import LAUNCH, build_demo


def main() -> None:
    """Load the three enhancers and serve the page, at http://127.0.0.1:7860 unless told."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    build_demo([enhancers.load(name, device) for name in enhancers.NAMES]).launch(**LAUNCH)


if __name__ == "__main__":
    main()
