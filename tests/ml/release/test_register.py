"""What the finished line registered: a version under the alias, with a signature, that answers as the package."""

import base64
import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ml.errors import UserError
from ml.release import register as register_module
from ml.release.register import described, points_lost, register
from ml.training.tracking import store, tracking
from ml.workspace import Workspace, lineage
from ml.workspace.settings import load, preset
from orchestration.following import runs

LOADED = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/arrcoc@champion")
rows = pd.DataFrame({"image": [open(sys.argv[2]).read()], "query": ["the house"]})
found = model.predict(rows).to_dict("records")[0]
schema = model.metadata.signature
print(json.dumps({"found": found, "inputs": schema.inputs.input_names(), "outputs": schema.outputs.input_names()}))
"""


def test_the_gate_is_fp32_minus_int8() -> None:
    rows = [
        {"variant": "fp32", "acc@0.5": 50.0},
        {"variant": "pruned", "acc@0.5": 1.0},
        {"variant": "int8", "acc@0.5": 50.6},
    ]
    assert points_lost({"variants": rows}) == -0.6


def test_without_refcoco_it_says_which_param_to_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"refcoco\.parquet: no questions of split val.*set benchmarks\.refcoco"):
        register(Workspace(tmp_path), preset("smoke"))
    assert not list(tmp_path.iterdir())


def test_a_long_card_is_described_by_those_of_its_sections_that_the_registry_takes() -> None:
    card = "".join(f"\n## Section {number}\n{'x' * 1500}" for number in range(4))
    short = described(card)
    assert len(short) <= 5000 and short.endswith("The rest of the card is in the model's metadata.")
    assert "Section 2" in short and "Section 3" not in short
    assert described(card[:3000]) == card[:3000] and len(described("x" * 9000)) == 5000


def test_a_kill_before_the_alias_leaves_one_version_which_the_next_run_takes(tmp_path: Path, monkeypatch) -> None:
    from mlflow import MlflowClient

    shutil.copy2(Path(__file__).parents[3] / "dvc.yaml", tmp_path)
    ws, params, out = Workspace(tmp_path), preset("smoke"), tmp_path / "data" / "released_model"
    (out / "package").mkdir(parents=True)
    (out / "package" / "package.json").write_text("{}")
    (out / "card.md").write_text("card")

    def release() -> str:
        with tracking.start(ws, params, "released_model") as run:
            register_module._release(ws, params, run.id, out, "card", None)
        return run.id

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            release()
    last = release()
    client, name = store.connect(ws, params), params.release.model_name
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert client.get_model_version_by_alias(name, params.release.alias).version == version.version
    assert runs.find(ws, params, "model").id == last
    (out / "package" / "package.json").write_text("[]")
    release()
    assert len(client.search_model_versions(f"name = '{name}'")) == 2
    assert int(client.get_model_version_by_alias(name, params.release.alias).version) == 2


def test_the_card_of_a_finished_line_names_every_stage_above_and_shows_them(finished) -> None:
    folder = finished.root / "data/released_model"
    card, drawn = ((folder / name).read_text() for name in ("card.md", "lineage.svg"))
    line = lineage.above(Workspace(finished.root), ["compressed_model", "benchmark_scores"])
    assert len(line) == 14
    for name, made in line.items():
        assert f"| {name} | {made['out']} |" in card
        assert f">{name}</text>" in drawn and made["out"][:10] in drawn
    assert "](lineage.svg)" in card
    ElementTree.fromstring(drawn)


def test_the_registered_model_answers_as_predict(finished, tmp_path: Path) -> None:
    release = json.loads((finished.root / "data/released_model/release.json").read_text())
    if not release["released"]:
        pytest.skip(f"the smoke run's gate did not hold: {release}")
    image = next(finished.root.glob("data/benchmark_data/raw/refcoco/images/train2014/*.jpg"))
    (tmp_path / "image.txt").write_text(base64.b64encode(image.read_bytes()).decode())
    assert load(finished.root / "params.yaml").release.alias == "champion"
    store = f"sqlite:///{finished.root}/mlflow/mlflow.db"
    done = finished.run(sys.executable, "-c", LOADED, store, str(tmp_path / "image.txt"))
    registered = json.loads(done.stdout.strip().splitlines()[-1])
    assert registered["inputs"] == ["image", "query"]
    assert registered["outputs"] == ["box", "score", "present", "masks"]
    answer = finished.json("arrcoc", "predict", str(image), "the house", "--json")
    assert json.loads(registered["found"]["box"]) == pytest.approx(answer["box"], abs=1e-3)
    assert registered["found"]["score"] == pytest.approx(answer["score"], abs=1e-5)
    assert registered["found"]["present"] is answer["present"]
    assert Path(answer["overlay"]).is_file()
