"""The stage `released_model`: if int8 is close enough to fp32, the model enters the registry under its alias."""

import base64
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.release.card import card, lineage_rows
from ml.release.lineage_picture import svg
from ml.release.questions import questions
from ml.release.variants import COMMON, REGISTERED, RELEASED
from ml.training.tracking import reach, store, tracking
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import atomic_dir, write_json
from ml.workspace.keys import file_md5
from ml.workspace.lineage import Made
from ml.workspace.report import Report
from ml.workspace.snapshot import folder_md5
from ml.workspace.stages import Stage

MADE_FROM = ("backbones", "training_set", "multimodal_finetuning", "benchmark_data", "compressed_model")
RELEASE = "release_md5"  # tag of a model version: the bytes that it is
PICTURE = "![The stages the model was made from; a way that a longer one implies is left out](lineage.svg)"
SECTION, REST = "\n## ", "\n\nThe rest of the card is in the model's metadata."
DESCRIPTION = 5000  # characters of the registry's column
PYFUNC = Path(__file__).with_name("pyfunc.py")


def register(ws: Workspace, params: Params) -> Report:
    """Write the card, and where the gate holds the package and a new version in MLflow's registry.

    Raises:
        UserError: the tracking store cannot be used, or there is no RefCOCO question for the model's example.
    """
    example = _example(ws)
    compression = _json(ws.stage("compressed_model") / "report.json")
    scores = _json(ws.stage("benchmark_scores") / "scores.json")
    drop = points_lost(compression)
    held = drop <= params.release.max_drop
    if held:  # the registry is what all of this is for: it is asked before the work
        store.connect(ws, params)
    text = card(params, compression, scores, inputs(ws), lineage_rows(*_line(ws)), drop, held)
    with tracking.start(ws, params, "released_model") as run, atomic_dir(ws.stage("released_model")) as out:
        (out / "card.md").write_text(f"{text}\n{PICTURE}\n", encoding="utf-8")
        (out / "lineage.svg").write_text(picture(*_line(ws)), encoding="utf-8")
        write_json(out / "release.json", {"points_lost": drop, "max_drop": params.release.max_drop, "released": held})
        run.metrics({"points_lost": drop, "released": float(held)})
        if held:
            for folder in (COMMON, RELEASED):
                shutil.copytree(ws.stage("compressed_model") / folder, out / "package", dirs_exist_ok=True)
            version = _release(ws, params, run.id, out, text, example)
            write_json(out / REGISTERED, _registration(params, version, out))
    return Report(numbers={"released": str(held), "points_lost": drop, "max_drop": params.release.max_drop})


def points_lost(compression: dict[str, Any]) -> float:
    """Accuracy of fp32 minus that of int8, in points."""
    accuracy = {row["variant"]: row["acc@0.5"] for row in compression["variants"]}
    return round(float(accuracy["fp32"] - accuracy["int8"]), 2)


def inputs(ws: Workspace) -> dict[str, str]:
    """The md5 of each file that the model was made from: {"backbones/clip.safetensors": md5, ...}."""
    files = [path for stage in MADE_FROM for path in sorted(ws.stage(stage).iterdir()) if path.is_file()]
    return {path.relative_to(ws.data).as_posix(): file_md5(path) for path in files}


def picture(line: Mapping[str, Made], declared: Mapping[str, Stage]) -> str:
    """The stages as SVG, each with the beginning of its output's md5."""
    upstream = {name: [above for above in declared[name].upstream if above in line] for name in line}
    return svg(upstream, {name: made["out"][:10] for name, made in line.items()})


def _line(ws: Workspace) -> tuple[dict[str, Made], dict[str, Stage]]:
    """What the stages above were made from, and how they are declared."""
    declared = stages.load(ws)
    return lineage.above(ws, declared["released_model"].upstream), declared


def _registration(params: Params, version: str, out: Path) -> dict[str, str]:
    """What a server tells of the model that it answers with."""
    name, alias = params.release.model_name, params.release.alias
    return {"name": name, "version": version, "alias": alias, "lineage": _release_md5(out)}


def _release(ws: Workspace, params: Params, run_id: str | None, out: Path, text: str, example: Any) -> str:
    """Move the alias to the version that is this very release, which is registered where a run before did not do so.

    Raises:
        UserError: the tracking store went away, or refuses.
    """
    from mlflow.exceptions import MlflowException

    client = store.connect(ws, params)
    name, release = params.release.model_name, _release_md5(out)
    try:
        if run_id is None:
            raise MlflowException("it does not take the run")
        version = _registered(client, name, release) or _register(ws, params, run_id, out / "package", text, example)
        client.set_model_version_tag(name, version, store.RELEASED_BY, run_id)
        client.update_model_version(name, version, description=described(text))
        client.set_registered_model_alias(name, params.release.alias, version)
        return version
    except (MlflowException, OSError) as error:
        raise UserError(reach.unusable(store.tracking_uri(ws, params), error)) from error


def described(text: str) -> str:
    """A card as the description of a version: PostgreSQL takes so many characters, SQLite any; whole sections."""
    head, *sections = text.split(SECTION)
    kept = [head]
    for section in sections:
        if len(SECTION.join([*kept, section])) + len(REST) > DESCRIPTION:
            return f"{SECTION.join(kept)[: DESCRIPTION - len(REST)]}{REST}"
        kept.append(section)
    return text[:DESCRIPTION]


def _release_md5(out: Path) -> str:
    """The md5 of the package and its card."""
    files = [out / "card.md", *sorted((out / "package").iterdir())]
    return folder_md5({path.relative_to(out).as_posix(): file_md5(path) for path in files})


def _registered(client: Any, name: str, release: str) -> str | None:
    """The version that a run registered before it was killed, or that released the same bytes before."""
    found = client.search_model_versions(f"name = '{name}' and tags.{RELEASE} = '{release}'", max_results=1)
    return str(found[0].version) if found else None


def _register(ws: Workspace, params: Params, run_id: str, package: Path, text: str, example: Any) -> str:
    """Log the package as a pyfunc of the run and register it, by its md5; the new version."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # progress of its own, and advice that does not apply
    mlflow.set_tracking_uri(store.tracking_uri(ws, params))
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name=params.release.model_name,
            python_model=str(PYFUNC),
            artifacts={"package": str(package)},
            signature=_signature(),
            input_example=example,
            registered_model_name=params.release.model_name,
            pip_requirements=["arrcoc"],
            code_paths=[str(PYFUNC.parents[1])],
            metadata={"card": text},
            tags={RELEASE: _release_md5(package.parent)},
        )
    return str(logged.registered_model_version)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = {"image": "string", "query": "string"}
    answered = {"box": "string", "score": "double", "present": "boolean", "masks": "string"}
    inputs, outputs = (Schema([ColSpec(kind, name) for name, kind in part.items()]) for part in (given, answered))
    return ModelSignature(inputs, outputs)


def _example(ws: Workspace) -> Any:
    import pandas as pd

    asked = questions(ws.stage("benchmark_data"), images=1)[0]
    jpeg = base64.b64encode(asked["path"].read_bytes()).decode()
    return pd.DataFrame({"image": [jpeg], "query": [asked["texts"][0]]})


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
