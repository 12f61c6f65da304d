"""The processes of one machine: DeepSpeed's own per-node launcher.

`python -m ml.training.engine.node` with its arguments.
"""

import signal
import sys

from ml.compute.parent import end_with_parent
from ml.training.engine.accelerator import import_deepspeed


def main() -> None:
    """Start this machine's processes, as DeepSpeed's arguments on the command line say, and wait for them."""
    end_with_parent(signal.SIGTERM)  # at which the launcher ends its processes
    import_deepspeed()
    from deepspeed.launcher.launch import main as launch

    try:
        launch()
    except SystemExit as error:
        if isinstance(error.code, int) and error.code < 0:
            print(f"error: {killed(-error.code)}", file=sys.stderr, flush=True)
        raise


def killed(number: int) -> str:
    """What to tell of a training process that a signal has ended."""
    text = f"a training process was killed (signal {number})"
    if number == signal.SIGKILL:
        text += ", most likely out of memory: lower training.batch_size or training.processes"
    return text


if __name__ == "__main__":
    main()
