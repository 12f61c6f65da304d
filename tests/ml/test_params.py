"""Params are checked before anything runs, and every complaint can be acted on."""

from pathlib import Path

import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.utils import validation as mlflow

from ml.errors import UserError
from ml.params import Training
from ml.workspace.settings import PRESETS, load, preset, validate

ROOT = Path(__file__).parents[2]


def raw() -> dict:
    return yaml.safe_load((PRESETS / "toytown.yaml").read_text())


def test_a_clone_holds_the_toytown_preset():
    assert (ROOT / "params.yaml").read_bytes() == (PRESETS / "toytown.yaml").read_bytes()


@pytest.mark.parametrize("name", ["toytown", "smoke", "sa1b"])
def test_presets_are_valid(name):
    assert preset(name).seed == 0


def test_sa1b_is_the_documented_configuration():
    params = preset("sa1b")
    assert params.backbones.sam.model_type == "vit_h"
    assert params.backbones.clip.model_name == "ViT-L-14"
    assert params.model.dim == 768
    assert (params.training.processes, params.training.zero_stage, params.training.precision) == (
        8,
        2,
        "bf16",
    )
    assert (params.training.batch_size, params.training.weight_decay) == (4, 0.01)
    assert params.mask_region_alignment.lr == 1e-4
    assert params.filter.max_masks_per_image == 20


@pytest.mark.parametrize("path", ["a.jsonl", ".hidden/a.parquet", "/data/a b.parquet", "..a/b...jsonl", "ü.jsonl"])
def test_a_path_of_a_caption_file_may_be_any_that_dvc_takes_as_it_is(path):
    values = raw()
    values["labels"]["caption_file"] = path
    assert validate(values, "params.yaml").labels.caption_file == path


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("filter.predicted_iuo", 0.9, ["filter.predicted_iuo", "unknown key", "predicted_iou"]),
        ("filter.max_masks_per_image", "many", ["filter.max_masks_per_image", "'many'", "integer"]),
        ("training.zero_stage", 5, ["training.zero_stage", "5", "0, 1, 2 or 3"]),
        ("filter.containment", 1.5, ["filter.containment", "1.5", "less than or equal to 1"]),
        ("shards.group_size", 100, ["shards.group_size", "100", "99"]),
        ("multimodal_finetuning.loss_weights.vqa", -1.0, ["multimodal_finetuning.loss_weights.vqa", "-1.0"]),
        ("mask_region_alignment.lr", float("nan"), ["found nan", "finite number"]),
        ("mask_region_alignment.steps", 10**400, ["found 1000", "(401 characters)", "less than or equal"]),
        ("seed", 2**32, ["4294967296", "less than 4294967296"]),
        ("release", [], ["release", "found a list of 0", "valid dictionary"]),
        ("release.model_name", "a/b", ["'a/b'", "1 to 256 characters are wanted, none of /"]),
        ("release.alias", "latest", ["'latest'", "letters, digits, _ and - are wanted, but not latest"]),
        ("tracking.experiment", "", ["''", "a name of 1 to 500 characters"]),
        ("tracking.uri", "sqlite:///mlflow.db", ["'sqlite:///mlflow.db'", "give an absolute path: sqlite:////"]),
        ("tracking.uri", "ftp://host", ["'ftp://host'", "an address with http(s), postgresql"]),
        ("labels.captioner", "blip", ["'blip'", "'clip', 'file' or 'openai'"]),
        ("labels.caption_file", "", ["''", "a path of a file"]),
        ("labels.caption_file", "../mine.jsonl", ["'../mine.jsonl'", "without . or .."]),
        ("labels.caption_file", "./mine.jsonl", ["'./mine.jsonl'", "without . or .."]),
        ("labels.caption_file", "a//b.jsonl", ["'a//b.jsonl'", "or //"]),
        ("labels.caption_file", "folder/", ["'folder/'", "a path of a file"]),
        ("labels.caption_file", "${seed}", ["'${seed}'", "$ or braces"]),
        ("labels.openai.drawing", "circle", ["'circle'", "'outline', 'dim' or 'none'"]),
        ("labels.openai.model", "", ["labels.openai.model", "at least 1 character"]),
        ("labels.openai.api_key", "sk", ["labels.openai.api_key", "unknown key"]),
        ("endpoint.url", "127.0.0.1:8000", ["'127.0.0.1:8000'", "http://127.0.0.1:8000/v1"]),
        ("endpoint.parallel", 0, ["endpoint.parallel", "greater than or equal to 1"]),
        ("endpoint.timeout", 0, ["endpoint.timeout", "greater than 0"]),
        ("shards.source", 7 * ["x" * 1000], ["shards.source", "found a list of 7"]),
    ],
)
def test_a_bad_value_is_named_with_its_path_and_what_is_allowed(path, value, words):
    values = raw()
    *sections, last = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[last] = value
    with pytest.raises(UserError) as error:
        validate(values, "params.yaml")
    assert all(word in str(error.value) for word in ["params.yaml", *words])
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300


NAMES = [
    "a",
    "arrcoc-2",
    "a b",
    "ü",
    "a/b",
    "a:b",
    "a.b",
    "a%b",
    'a"b',
    "a'b",
    "",
    " ",
    "x" * 257,
    "latest",
    "LATEST",
    "v2",
    "V10",
]
NAMES += ["v2x", "_", "-", "a@b", "champion\n", "x" * 256, "x" * 255]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_refused_where_mlflow_refuses_them(name):
    def refused(*checks) -> bool:
        try:
            return any(check(name) for check in checks)  # they return None
        except MlflowException:
            return True

    def wrong(key: str) -> bool:
        values = raw()
        values["release"][key] = name
        try:
            validate(values, "params.yaml")
        except UserError:
            return True
        return False

    model = refused(mlflow._validate_model_name, mlflow._validate_logged_model_name) or len(name) > 256 or "\n" in name
    alias = refused(mlflow._validate_model_alias_name, mlflow._validate_model_alias_name_reserved) or "\n" in name
    assert (wrong("model_name"), wrong("alias")) == (model, alias)


def test_a_name_that_is_lost_in_the_address_of_a_model_is_refused():
    assert _parse_model_uri("models:/a?b@champion").name is None
    values = raw()
    values["release"]["model_name"] = "a?b"
    with pytest.raises(UserError, match=r"release\.model_name"):
        validate(values, "params.yaml")


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        *[
            (uri, True)
            for uri in ("http://localhost:5000", "https://host/path", "sqlite:////tmp/mlflow.db", "databricks")
        ],
        *[(uri, True) for uri in ("postgresql://u:p@host/db", "mysql+pymysql://host/db", "mssql+pyodbc://host/db")],
        *[
            (uri, False)
            for uri in ("", " ", "mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///a.db")
        ],
        *[
            (uri, False)
            for uri in ("http://", "http:///x", "postgres://h/d", "SQLITE:////a", "foo://x", "sqlite:///:memory:")
        ],
    ],
)
def test_an_address_that_mlflow_keeps_no_runs_at_is_refused(uri, good):
    values = raw()
    values["tracking"]["uri"] = uri
    if good:
        assert validate(values, "params.yaml").tracking.uri == uri
        return
    with pytest.raises(UserError, match=r"tracking\.uri: found"):
        validate(values, "params.yaml")


def test_ten_keys_are_named_and_the_rest_counted(tmp_path):
    with pytest.raises(UserError) as error:
        validate(raw() | {f"typo_{number}": 1 for number in range(25)}, "params.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "params.yaml: and 15 more"
    assert all(len(line) < 300 for line in lines)
    (tmp_path / "params.yaml").write_text("# nothing\n")
    with pytest.raises(UserError, match=r"found no key in it; start again from a preset"):
        load(tmp_path / "params.yaml")


def test_a_key_that_is_nearly_one_is_asked_after():
    values = raw()
    values["trianing"] = {}
    with pytest.raises(UserError, match=r"trianing: unknown key; is training meant\? allowed here: backbones"):
        validate(values, "params.yaml")


def test_a_missing_key_is_named():
    values = raw()
    del values["model"]["heads"]
    with pytest.raises(UserError, match=r"model\.heads: missing"):
        validate(values, "params.yaml")


@pytest.mark.parametrize("text", ["a: [1", "\x00"])
def test_a_file_that_is_not_yaml_is_one_line(tmp_path, text):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="not readable as YAML"):
        load(file)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="sa1b, smoke, toytown"):
        preset("big")


def test_processes_share_the_micro_batches_of_a_step():
    training = preset("toytown").training.model_dump()
    assert [Training(**training | {"processes": count}).accumulation for count in (1, 2)] == [2, 1]
    raw = preset("toytown").model_dump(mode="json")
    raw["training"] |= {"processes": 3}
    with pytest.raises(
        UserError, match=r"params\.yaml: training: .*16 is 2 micro-batches of batch_size 8, which 3 proc"
    ):
        validate(raw, "params.yaml")
