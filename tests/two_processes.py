"""Run under `accelerate launch` by test_training: two steps, then each process saves itself."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from enhancers.training.loop import Loop
from tests.test_training import settings, small

photos, out = Path(sys.argv[1]), Path(sys.argv[2])
loop = Loop(small("vae"), settings("vae", photos, out / "run", 2))
loop.run()
state = {"network": loop.recipe.network.state_dict(), "clean": loop.mixture.batch(2, 32).clean}
torch.save(state, out / f"rank-{loop.accelerator.process_index}.pt")
