"""The processes of this machine, through DeepSpeed's per-node launcher.

The `deepspeed` command would start it as well: going there directly saves its own imports, about 4 s a stage.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping

from ml.errors import UserError
from ml.params import Params
from ml.training.launchers.processes import Ended, free_port, program, run
from ml.workspace import Workspace


def launch(stage: str, ws: Workspace, params: Params, variables: Mapping[str, str]) -> Ended:
    """Run the stage to its end, its output on stderr."""
    return run(command(stage, ws, params), variables)


def command(stage: str, ws: Workspace, params: Params) -> list[str]:
    """The command line that starts the stage.

    Raises:
        UserError: there are fewer devices than processes.
    """
    world = {"localhost": devices(params.training.processes)}
    encoded = base64.urlsafe_b64encode(json.dumps(world).encode()).decode()
    start = [sys.executable, "-m", "ml.training.engine.node", f"--world_info={encoded}", "--master_addr=127.0.0.1"]
    return [*start, *options(), *program(stage, ws)]


def options() -> list[str]:
    """What both of DeepSpeed's launchers are told."""
    return [f"--master_port={free_port()}", "--log_level=error", "--no_local_rank", "--module"]


def devices(processes: int) -> list[int]:
    """The device numbers of the processes: the first that CUDA_VISIBLE_DEVICES names, where it is set.

    Raises:
        UserError: it names fewer than there are processes.
    """
    visible = [int(number) for number in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if number.isdigit()]
    if visible and len(visible) < processes:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES: names {len(visible)} devices ({','.join(map(str, visible))}), training.processes "
            f"asks for {processes}; name more devices, or set training.processes to {len(visible)}"
        )
    return (visible or list(range(processes)))[:processes]
