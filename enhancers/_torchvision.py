"""Make torchvision importable beside a torch its compiled operators were not built for.

The torchvision wheel on PyPI is compiled against a CUDA build of torch. Beside a CPU build its
compiled operators do not load; torchvision shrugs that off, but a few lines later it attaches
shape rules to two of them, which fails with "operator torchvision::nms does not exist" and takes
`import torchvision`, and with it every diffusers model, down. Nothing here uses those operators,
so it is enough that their names exist. Calling them still raises torchvision's own explanation.
"""

from __future__ import annotations

import importlib
import sys

import torch

# As torchvision's C++ declares them (torchvision/csrc/ops/nms.cpp, quantized/qnms).
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_declared: list[torch.library.Library] = []  # a declaration lives as long as its Library


def ensure_importable() -> None:
    """Import torchvision, declaring its missing operators if that is what stops it.

    Call before `import torchvision` or diffusers. A torchvision that imports by itself is left
    exactly as it is, because only its own failure tells for certain that the operators are
    missing. Without torchvision, which diffusers does not need, nothing happens.
    Raises whatever the import raises for any other reason. Calling it again costs nothing.
    """
    try:
        _import()
    except RuntimeError as error:
        missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
        if not missing or "operator torchvision::" not in str(error):
            raise
        # "FRAGMENT" adds to a namespace that something else may have opened already.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(_SCHEMAS[name])
        _declared.append(library)
        _import()


def _import() -> None:
    """Import torchvision; after a failure leave none of its half-initialised modules behind."""
    before = set(sys.modules)
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
    except BaseException:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "torchvision":
                del sys.modules[name]
        raise
