"""Start the web page: `python app.py`. Hugging Face Spaces runs this file too."""

import contextlib
import os
import signal
import tempfile

# Gradio looks for its folder as it is imported. Its own choice is one for all users of a machine,
# and belongs to the first of them; this one goes when the page ends.
folder = tempfile.TemporaryDirectory(prefix="triptych-")
os.environ.setdefault("GRADIO_TEMP_DIR", folder.name)

with contextlib.suppress(ImportError):  # on ZeroGPU it must come before anything that uses CUDA
    import spaces  # noqa: F401

import torch  # noqa: E402

import enhancers  # noqa: E402
from ui import LAUNCH, build_demo  # noqa: E402


def main() -> None:
    """Load the three enhancers and serve the page, at http://127.0.0.1:7860 unless told."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` tidies up as Ctrl-C does
    build_demo([enhancers.load(name, device) for name in enhancers.NAMES]).launch(**LAUNCH)


if __name__ == "__main__":
    main()
