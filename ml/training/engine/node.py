"""The processes of one machine: DeepSpeed's own per-node launcher.

`python -m ml.training.engine.node` with its arguments.
"""

from ml.training.engine.accelerator import import_deepspeed


def main() -> None:
    """Start this machine's processes, as DeepSpeed's arguments on the command line say, and wait for them."""
    import_deepspeed()
    from deepspeed.launcher.launch import main as launch

    launch()


if __name__ == "__main__":
    main()
