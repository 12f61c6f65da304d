import pytest
import torch

from ml.errors import UserError
from ml.training.engine.engine import configuration, decay_groups, interface
from ml.workspace.settings import preset


def test_configuration_follows_the_params() -> None:
    training = preset("toytown").training.model_copy(
        update={"processes": 4, "global_batch": 192, "batch_size": 16, "zero_stage": 2, "precision": "bf16"}
    )
    made = configuration(training)
    assert (made["train_batch_size"], made["gradient_accumulation_steps"]) == (192, 3)
    assert made["gradient_clipping"] == 1.0
    assert made["zero_optimization"] == {"stage": 2}
    assert made["torch_autocast"]["enabled"]


@pytest.mark.parametrize("name", ["toytown", "smoke", "sa1b"])
def test_batch_sizes_agree_in_every_preset(name: str) -> None:
    training = preset(name).training
    made = configuration(training)
    micro, steps = made["train_micro_batch_size_per_gpu"], made["gradient_accumulation_steps"]
    assert made["train_batch_size"] == micro * steps * training.processes


def test_only_matrices_decay() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    groups = decay_groups(list(layer.parameters()), 0.01)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert [p.ndim for group in groups for p in group["params"]] == [2, 1, 1, 1]


def test_gloo_takes_the_interface_that_leads_to_where_the_processes_meet() -> None:
    assert interface("127.0.0.1") == "lo"
    with pytest.raises(UserError, match=r"MASTER_ADDR: nowhere\.invalid, where the processes meet, can't be reached"):
        interface("nowhere.invalid")
