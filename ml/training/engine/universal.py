"""A checkpoint of N processes made into one that any number can load: DeepSpeed's universal checkpoints.

ZeRO cuts the optimizer's states by process; the universal form holds them by parameter (Lian et al. 2024).
"""

import io
import shutil
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from ml.training.engine.accelerator import import_deepspeed
from ml.workspace.atomic import told

TAG = "universal"


def convert(folder: Path, tag: str) -> None:
    """Write the point `tag` of a resume folder, of ZeRO 1 to 3, beside it under the tag `universal`.

    Raises:
        UserError: the disk is full.
        OSError, RuntimeError, KeyError, AssertionError: it is no whole checkpoint.
    """
    import_deepspeed()
    from deepspeed.checkpoint import ds_to_universal

    shutil.rmtree(folder / TAG, ignore_errors=True)  # of a process that was killed while it wrote
    places = {"input_folder": str(folder / tag), "output_folder": str(folder / TAG)}
    how = {"num_extract_workers": 1, "num_merge_workers": 1, "keep_temp_folder": False, "strict": True}
    said = io.StringIO()  # bars and headings
    with told(folder / TAG), redirect_stdout(said), redirect_stderr(said):
        ds_to_universal.main(Namespace(**places, **how, inject_missing_state=True))


def load(engine: Any, folder: Path) -> dict[str, Any]:
    """Load what `convert` wrote into an engine that was built to read it; what lay beside the model there."""
    decays = [group["weight_decay"] for group in engine.optimizer.param_groups]
    _, state = engine.load_checkpoint(str(folder), tag=TAG)
    # ZeRO-3 gives all groups what the first one was saved with, and all parts one count of steps between them.
    for group, decay in zip(engine.optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = decay
    for moments in engine.optimizer.optimizer.state.values():
        moments["step"] = moments["step"].clone()
    return dict(state)
