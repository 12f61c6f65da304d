import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ml.errors import UserError
from ml.models.frozen import checkpoints
from ml.models.frozen.checkpoints import read_checkpoint
from ml.models.weights import sha256_of


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))
    return str(error.value)


@pytest.mark.parametrize("kind", ["plain", "nested", "prefixed", "legacy", "safetensors", "other name"])
def test_weights_are_read_however_they_lie(tmp_path: Path, model: nn.Module, kind: str) -> None:
    path, state = tmp_path / "model.pt", model.state_dict()
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    content = {"nested": {"epoch": 3, "state_dict": state}, "prefixed": {"state_dict": wrapped}}.get(kind, state)
    if kind in ("safetensors", "other name"):
        path = path.with_suffix(".bin" if kind == "other name" else ".safetensors")
        save_file(state, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "legacy")
    found = read_checkpoint(path)
    assert found.tensors.keys() == state.keys() and not found.openai
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state.items())


def test_what_is_no_weights_is_one_line(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "model.pt"
    torch.save(model.state_dict(), path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:20], b"no checkpoint", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        assert "cut, damaged, or no checkpoint" in refused(path)
    path.write_bytes(b"")
    assert "is empty" in refused(path)
    torch.save([1, 2], path)
    assert "holds a list, no weights" in refused(path)
    torch.save({"epoch": 3, "step": 7}, path)
    assert "epoch is a int, a tensor is wanted" in refused(path)
    path.write_bytes((2**20).to_bytes(8, "little") + b"{" + bytes(50))
    assert "not readable as safetensors" in refused(path)


def test_a_pickle_that_runs_something_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"weight": Evil()}, path)
    said = refused(path)
    assert "more than weights" in said and "system" in said and "weights_only" not in said


def test_a_program_is_opened_only_if_openai_published_it(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ViT.pt"
    torch.jit.script(model).save(str(path))
    assert "is a program" in refused(path)
    address = f"https://openaipublic.azureedge.net/clip/models/{sha256_of(path)}/ViT.pt"
    monkeypatch.setitem(checkpoints._PRETRAINED, "ViT", {"openai": {"url": address}})
    found = read_checkpoint(path)
    assert found.openai and torch.equal(found.tensors["0.weight"], model.state_dict()["0.weight"])


def test_openais_weights_are_known_by_what_lies_beside_them(tmp_path: Path, model: nn.Module) -> None:
    beside = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77)}
    torch.save({**model.state_dict(), **beside}, tmp_path / "model.pt")
    found = read_checkpoint(tmp_path / "model.pt")
    assert found.openai and found.tensors.keys() == model.state_dict().keys()


def test_weights_of_another_model_are_told_by_a_tensor(tmp_path: Path, model: nn.Module) -> None:
    torch.save(model.state_dict(), tmp_path / "model.pt")
    found = read_checkpoint(tmp_path / "model.pt")
    wider = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    with pytest.raises(UserError, match=r"not a checkpoint of a net: 0\.bias is \[4\], wanted \[5\]"):
        found.load_into(wider, "a net")
    with pytest.raises(UserError, match=r"it lacks 2 of its tensors, as 2\.bias"):
        found.load_into(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)), "a net")
    with pytest.raises(UserError, match=r"it has, unknown there, 2 of its tensors"):
        found.load_into(nn.Sequential(nn.Linear(3, 4)), "a net")
    found.load_into(model, "a net")
