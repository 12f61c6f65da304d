"""One process of a training stage in a Slurm job: `srun python -m ml.training.slurm_task` with `main`'s arguments.

Slurm says which of them it is; DeepSpeed wants that under torch's names.
"""

import os
import sys


def main() -> int:
    """Run the stage as the task that Slurm has started; the exit code of `ml.training.main`."""
    os.environ |= variables(os.environ)
    from ml.training.main import main as train

    return train()


def variables(found: "os._Environ[str] | dict[str, str]") -> dict[str, str]:
    """Torch's variables from those of a Slurm task. The processes meet where `srun` runs, on the job's first node."""
    return {
        "RANK": found["SLURM_PROCID"],
        "LOCAL_RANK": "0" if alone(found) else found["SLURM_LOCALID"],
        "WORLD_SIZE": found["SLURM_NTASKS"],
        "MASTER_ADDR": found["SLURM_LAUNCH_NODE_IPADDR"],
        "MASTER_PORT": found["ARRCOC_MASTER_PORT"],
        "OMP_NUM_THREADS": found.get("SLURM_CPUS_PER_TASK", "1"),
    }


def alone(found: "os._Environ[str] | dict[str, str]") -> bool:
    """Whether the task sees one GPU only, its own, as Slurm binds them with `--gpus-per-task`."""
    return len(found.get("CUDA_VISIBLE_DEVICES", "").split(",")) == 1


if __name__ == "__main__":
    sys.exit(main())
