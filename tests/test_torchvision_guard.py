"""What torch.library declares lives as long as the process, so each case gets its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(code: str, *, first_on_path: Path | None = None) -> str:
    """Run Python code in a fresh process from the project root; return what it prints."""
    paths = [str(p) for p in (first_on_path, ROOT) if p]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_torchvision(folder: Path, code: str) -> Path:
    """A package named torchvision that runs `code` when imported, with one submodule."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(f"import torch\nfrom torchvision import part\n{code}\n")
    (package / "part.py").write_text("")
    return folder


NEEDS_OPERATORS = """
for name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, name):
        raise RuntimeError(f"operator torchvision::{name} does not exist")
"""


def test_the_installed_torchvision_and_diffusers_import_after_the_guard():
    code = """
from enhancers import _torchvision
_torchvision.ensure_importable()
_torchvision.ensure_importable()
from torchvision.transforms import v2
from diffusers import UNet2DModel
print(v2.__name__, UNet2DModel.__name__, len(_torchvision._declared))
"""
    plain = subprocess.run(
        [sys.executable, "-c", "import torchvision"], capture_output=True, text=True, timeout=120
    )
    declared = 0 if plain.returncode == 0 else 1
    assert run(code) == f"torchvision.transforms.v2 UNet2DModel {declared}"


def test_missing_operators_are_declared_with_the_schemas_of_torchvision(tmp_path):
    code = """
import torch
from enhancers._torchvision import ensure_importable
try:
    import torchvision
except RuntimeError as error:
    print(error)
ensure_importable()
import torchvision
for name in ("nms", "qnms"):
    print(getattr(torch.ops.torchvision, name).default._schema)
"""
    assert run(code, first_on_path=fake_torchvision(tmp_path, NEEDS_OPERATORS)).splitlines() == [
        "operator torchvision::nms does not exist",
        "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "torchvision::qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ]


def test_operators_that_work_are_left_alone(tmp_path):
    code = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl(name, lambda dets, scores, iou_threshold: scores.argsort(), "CPU")
from enhancers import _torchvision
_torchvision.ensure_importable()
kept = torch.ops.torchvision.nms(torch.zeros(2, 4), torch.tensor([2.0, 1.0]), 0.5)
print(_torchvision._declared, kept.tolist())
"""
    path = fake_torchvision(tmp_path, NEEDS_OPERATORS)
    assert run(code, first_on_path=path) == "[] [1, 0]"


def test_the_guard_declares_nothing_that_an_import_did_not_miss(tmp_path):
    code = """
import torch
from enhancers import _torchvision
_torchvision.ensure_importable()
print(_torchvision._declared, hasattr(torch.ops.torchvision, "nms"))
"""
    assert run(code, first_on_path=fake_torchvision(tmp_path, "")) == "[] False"


def test_other_failures_are_passed_on_and_leave_nothing_behind(tmp_path):
    code = """
import sys
import torch
from enhancers import _torchvision
for kind in (OSError, ImportError, RuntimeError):
    torch.to_raise = kind("another reason")
    try:
        _torchvision.ensure_importable()
    except Exception as error:
        print(error is torch.to_raise, [name for name in sys.modules if "torchvision." in name])
print(_torchvision._declared)
"""
    path = fake_torchvision(tmp_path, "raise torch.to_raise")
    expected = [*["True []"] * 3, "[]"]
    assert run(code, first_on_path=path).splitlines() == expected


def test_an_absent_torchvision_is_no_error(tmp_path):
    code = """
import sys
sys.meta_path.insert(0, type("Absent", (), {"find_spec": staticmethod(find)})())
from enhancers._torchvision import ensure_importable
ensure_importable()
print("torchvision" in sys.modules)
"""
    finder = """
def find(name, path=None, target=None):
    if name == "torchvision":
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
"""
    assert run(finder + code) == "False"
