"""The loop of every stage, in this process, on real engines."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

from ml.errors import UserError
from ml.models.arrcoc import ARRCOC
from ml.models.weights import sha256_of
from ml.training import measures
from ml.training.engine.checkpoints import Progress
from ml.training.loop import explained, judge, validation_steps
from ml.training.main import ORDER, main
from ml.workspace import Workspace

GOLDEN = Path(__file__).with_name("golden_losses.json")
Make = Callable[..., Workspace]
Train = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("stage", ORDER)
def test_losses_are_those_of_the_golden_file(workspace: Make, train: Train, stage: str) -> None:
    """After a wanted change of behaviour: copy the losses that the failure shows into golden_losses.json."""
    history = train(workspace(), stage)
    assert [entry["loss"] for entry in history["train"]] == pytest.approx(
        json.loads(GOLDEN.read_text())[stage], rel=1e-3
    )


def test_a_stage_learns(workspace: Make, train: Train) -> None:
    ws = workspace(
        mask_region_alignment={"steps": 60, "lr": 0.005}, training={"validations": 3, "warmup_fraction": 0.0}
    )
    history = train(ws, "mask_region_alignment")
    assert history["train"][-1]["loss"] < 0.6 * history["train"][0]["loss"]
    best = max(history["validation"], key=lambda entry: entry["alignment_accuracy"])
    assert history["best"]["value"] == best["alignment_accuracy"] > 0.6
    assert history["best"]["by"] == "alignment_accuracy"
    assert [entry["step"] for entry in history["validation"]] == [20, 40, 60]


def test_what_a_stage_leaves(workspace: Make, train: Train) -> None:
    ws = workspace()
    before = load_file(ws.stage("mask_region_alignment") / "model.safetensors")
    train(ws, "text_region_grounding")
    folder = ws.stage("text_region_grounding")
    told = ["best.json", "train.json", "validation.json"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(["config.json", "model.safetensors", *told])
    after = ARRCOC.load(folder).state_dict()
    changed = {name.partition(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"adapter", "region_encoder", "region_projection", "logit_scale", "grounding_head"}
    assert not (ws.resume / "text_region_grounding").exists()


@pytest.mark.parametrize("stage", ORDER)
def test_a_stage_of_no_steps_hands_on_the_model_it_got(workspace: Make, train: Train, stage: str) -> None:
    ws = workspace(**{stage: {"steps": 0}})
    history = train(ws, stage)
    assert history["train"] == [] and history["best"]["step"] == 0
    after = ARRCOC.load(ws.stage(stage)).state_dict()
    if stage != ORDER[0]:  # the first makes its model
        before = load_file(ws.stage(ORDER[ORDER.index(stage) - 1]) / "model.safetensors")
        assert all(after[name].equal(value) for name, value in before.items())


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_zero_and_precision_agree(workspace: Make, train: Train, zero_stage: int, precision: str) -> None:
    ws = workspace(training={"zero_stage": zero_stage, "precision": precision})
    history = train(ws, "relevance_learning")
    wanted = json.loads(GOLDEN.read_text())["relevance_learning"]
    assert [entry["loss"] for entry in history["train"]] == pytest.approx(
        wanted, rel=1e-3 if precision == "fp32" else 0.03
    )


def test_accumulation_is_one_larger_batch(workspace: Make, train: Train) -> None:
    """Gradients of two halves add up to those of the whole, where the loss is a mean over images."""
    found = []
    for batch_size, global_batch in ((2, 4), (4, 4), (2, 2)):
        sizes = {"batch_size": batch_size, "global_batch": global_batch, "absent": 0.0}
        ws = workspace(training=sizes, text_region_grounding={"alignment_weight": 0.0})
        found.append([entry["loss"] for entry in train(ws, "text_region_grounding")["train"]])
    halves, whole, half = found
    assert halves == pytest.approx(whole, rel=1e-3)
    assert half != pytest.approx(whole, rel=1e-2)


def test_two_runs_write_the_same_bytes(workspace: Make, train: Train) -> None:
    one, other = workspace(), workspace()
    for ws in (one, other):
        train(ws, "multimodal_finetuning")
    for file in one.stage("multimodal_finetuning").iterdir():
        assert file.read_bytes() == (other.stage("multimodal_finetuning") / file.name).read_bytes()


def test_a_loss_that_is_not_finite_stops_the_stage(workspace: Make, train: Train) -> None:
    ws = workspace(relevance_learning={"lr": 1e30, "steps": 6}, training={"warmup_fraction": 0.0})
    with pytest.raises(UserError, match=r"the loss is nan at step \d+; lower relevance_learning.lr"):
        train(ws, "relevance_learning")
    assert not ws.stage("relevance_learning").joinpath("best.json").exists()


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_stops_the_stage(loss: float) -> None:
    run = SimpleNamespace(stage="relevance_learning")
    with pytest.raises(UserError, match=f"validation loss is {loss} at step 7; lower relevance_learning.lr"):
        judge(run, Progress(step=7), {"loss": loss, "relevance_accuracy": 0.5})  # type: ignore[arg-type]


class Failing(Dataset[int]):
    """Examples of which one kills its process, and another is not readable."""

    def __getitem__(self, index: int) -> int:
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 2:
            raise UserError("sa_000000.tar: image 2 is cut; download it again")
        return index


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (1, "training.loader_workers: one of the 2 processes that load was killed, most likely out of memory; lower "),
        (2, "sa_000000.tar: image 2 is cut; download it again"),
    ],
)
def test_what_ends_a_loader_process_is_one_line(index: int, message: str) -> None:
    loader = DataLoader(Failing(), None, sampler=[0, index], num_workers=2, multiprocessing_context="forkserver")
    with pytest.raises(UserError) as error:
        list(explained(iter(loader), 2))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("steps", "validations", "wanted"), [(600, 4, [150, 300, 450, 600]), (3, 8, [1, 2, 3]), (5, 1, [5])]
)
def test_validation_steps(steps: int, validations: int, wanted: list[int]) -> None:
    assert validation_steps(steps, validations) == wanted


class TestRefusals:
    """Every wrong input: exit code 2 and one line on stderr."""

    def check(self, ws: Workspace, stage: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--stage", stage, "--workspace", str(ws.root)]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert message in line

    def test_stage_before_missing(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        ws = workspace()
        (ws.stage("text_region_grounding") / "model.safetensors").unlink()
        message = "missing; materialize the stage `text_region_grounding` first"
        self.check(ws, "relevance_learning", message, capsys)

    def test_flips_without_mirrored_features(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        from safetensors.numpy import load_file as load
        from safetensors.numpy import save_file

        ws = workspace()
        path = ws.shard_file("image_features", "sa_000000", ".safetensors")
        stored = load(path)
        save_file({**stored, "features": stored["features"][:1].copy()}, path)
        self.check(ws, "relevance_learning", "training.augment.flip: 0.5, but image_features hold no", capsys)

    def test_features_of_another_sam(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        from safetensors.numpy import load_file as load
        from safetensors.numpy import save_file

        ws = workspace()
        path = ws.shard_file("image_features", "sa_000000", ".safetensors")
        stored = load(path)
        save_file({**stored, "features": stored["features"][:, :, :8].copy()}, path)
        self.check(ws, "relevance_learning", "found 8 channels on a [4, 4] grid, the model wants 32", capsys)

    @pytest.mark.parametrize("stage", ORDER)
    def test_nothing_to_learn_from(self, workspace: Make, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
        ws = workspace()
        for path in ws.stage("pseudo_labels").glob("*.parquet"):
            table = pq.read_table(path)
            rows = [{**row, "phrases": [""] * len(row["counts"]), "queries": []} for row in table.to_pylist()]
            pq.write_table(pa.Table.from_pylist([{**row, "relevance": []} for row in rows], table.schema), path)
        self.check(ws, stage, "images to train on has a query; see the data card", capsys)

    @pytest.mark.parametrize("value", [math.nan, -math.inf])
    @pytest.mark.parametrize("steps", [0, 4])
    def test_a_model_that_is_not_finite(
        self, workspace: Make, value: float, steps: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ws = workspace(relevance_learning={"steps": steps})
        path = ws.stage("text_region_grounding") / "model.safetensors"
        state = load_file(path)
        state["logit_scale"][0] = value
        save_file(state, path)
        message = "text_region_grounding/model.safetensors: logit_scale: 1 of 1 numbers are not finite (nan or inf)"
        self.check(ws, "relevance_learning", message, capsys)

    def test_a_backbone_that_is_not_finite(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        ws = workspace()
        path, config = (ws.stage("backbones") / f"clip.{suffix}" for suffix in ("safetensors", "json"))
        state = load_file(path)
        state["logit_scale"].fill_(math.nan)
        save_file(state, path)
        config.write_text(json.dumps({**json.loads(config.read_text()), "sha256": sha256_of(path)}))
        self.check(ws, "relevance_learning", "clip.safetensors: logit_scale: 1 of 1 numbers are not", capsys)

    def test_a_validation_of_nothing(
        self, workspace: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nothing = (torch.zeros((), dtype=torch.double), torch.zeros((), dtype=torch.double))
        monkeypatch.setattr(measures, "relevance", lambda *_: {"relevance_accuracy": nothing})
        message = "relevance_learning: none of 4 validation images has anything to measure relevance_accuracy on"
        self.check(workspace(), "relevance_learning", message, capsys)

    def test_an_interrupt(
        self, workspace: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("ml.training.main.run_stage", interrupted)
        assert main(["--stage", ORDER[0], "--workspace", str(workspace().root)]) == 130
        assert capsys.readouterr().err == "error: mask_region_alignment: interrupted; run again to go on\n"

    def test_unusable_store(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        ws = workspace()
        (ws.root / "mlflow" / "mlflow.db").write_bytes(b"this is no database, but as long as one" * 300)
        self.check(ws, "relevance_learning", "not usable as MLflow's store", capsys)

    def test_backbones_missing(self, workspace: Make, capsys: pytest.CaptureFixture[str]) -> None:
        ws = workspace()
        (ws.stage("backbones") / "clip.json").unlink()
        self.check(ws, "relevance_learning", "clip.json: missing; materialize the stage `backbones` first", capsys)


def test_history_is_plain_and_finite(workspace: Make, train: Train) -> None:
    history = train(workspace(), "multimodal_finetuning")
    assert set(history) == {"stage", "steps", "best", "train", "validation"}
    numbers = [value for entry in history["train"] + history["validation"] for value in entry.values()]
    assert all(math.isfinite(value) for value in numbers)
    assert {"loss", "grounding", "ref_exp", "relevance", "caption", "vqa", "lr", "step"} == set(history["train"][0])
