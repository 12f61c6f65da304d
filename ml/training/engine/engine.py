"""DeepSpeed around a task: optimizer, schedule, precision and ZeRO stage from the params."""

import os
import socket
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from ml.errors import UserError
from ml.params import Training
from ml.training.engine.accelerator import import_deepspeed
from ml.training.engine.schedule import Schedule
from ml.training.tasks import Task


@dataclass(frozen=True)
class World:
    """This process among all processes of the stage."""

    rank: int
    size: int
    device: torch.device
    talk: Any = None  # the process group of what is said between CPUs; None: the default one is of CPUs

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the one that logs and writes."""
        return self.rank == 0


def join(processes: int) -> World:
    """Meet the other processes that the launcher started: NCCL between GPUs, gloo between CPUs.

    Raises:
        UserError: this machine has fewer GPUs than processes.
    """
    deepspeed = import_deepspeed()
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available() and local >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(f"training.processes: {processes} on a machine with {found} GPUs; wanted at most {found}")
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface(os.environ["MASTER_ADDR"]))
    deepspeed.init_distributed(dist_backend="nccl" if device.type == "cuda" else "gloo", verbose=False)
    talk = torch.distributed.new_group(backend="gloo") if device.type == "cuda" else None
    return World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device, talk)


def interface(address: str) -> str:
    """The network interface by which this machine reaches another; gloo would take the one of its own host name.

    Raises:
        UserError: there is no such host, or no way to it.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            own = probe.getsockname()[0]
    except OSError as error:
        raise UserError(f"MASTER_ADDR: {address}, where the processes meet, can't be reached ({error})") from error
    found = psutil.net_if_addrs().items()
    return next(name for name, addresses in found if any(one.address == own for one in addresses))


def configuration(params: Training, universal: bool = False) -> dict[str, Any]:
    """DeepSpeed's configuration. bf16 is autocast over float32 weights: no second copy of what is exported.

    `universal`: it will load a checkpoint of another number of processes.
    """
    return {
        "train_micro_batch_size_per_gpu": params.batch_size,
        "gradient_accumulation_steps": params.accumulation,
        "train_batch_size": params.global_batch,
        "gradient_clipping": params.grad_clip,
        "zero_optimization": {"stage": params.zero_stage},
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {"enabled": params.precision == "bf16", "dtype": "bfloat16"},
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 2**62,
    }


def build(
    task: Task, params: Training, lr: float, steps: int, world: World, universal: bool = False
) -> tuple[Any, Schedule]:
    """The DeepSpeed engine of a task, and its learning-rate schedule; `universal` as in `configuration`."""
    deepspeed = import_deepspeed()
    task.to(world.device)
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    # A client optimizer: DeepSpeed's own AdamW would be compiled at the first start (119 s).
    optimizer = torch.optim.AdamW(decay_groups(trained, params.weight_decay), lr=lr)
    schedule = Schedule(optimizer, lr, steps, params.warmup_fraction, params.schedule)
    engine, *_ = deepspeed.initialize(
        model=task, optimizer=optimizer, lr_scheduler=schedule, config=configuration(params, universal)
    )
    return engine, schedule


def decay_groups(parameters: list[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices; none for biases, gains and the temperature."""
    groups = {decay: [p for p in parameters if (p.ndim > 1) == decay] for decay in (True, False)}
    return [
        {"params": group, "weight_decay": weight_decay if decay else 0.0} for decay, group in groups.items() if group
    ]


def summed(values: Tensor, world: World) -> Tensor:
    """The sum of a tensor over all processes."""
    if world.size > 1:
        torch.distributed.all_reduce(values)
    return values


def weights(engine: Any, world: World) -> dict[str, Tensor]:
    """The model's full weights on the CPU, gathered where ZeRO-3 has split them; empty on other ranks than 0."""
    import deepspeed

    model = engine.module.model
    with deepspeed.zero.GatheredParameters(list(model.parameters()), enabled=engine.zero_optimization_stage() == 3):
        state = model.state_dict() if world.leads else {}
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
