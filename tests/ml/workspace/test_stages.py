"""`dvc.yaml` as the one declaration: what it says of a stage covers what the stage imports, reads and is steered by."""

import ast
from functools import cache
from pathlib import Path

import pytest

from ml import pipeline
from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages, yamlfile
from ml.workspace.lineage import code_files
from ml.workspace.settings import preset
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage

ROOT = Path(__file__).parents[3]
WORKSPACE = Workspace(ROOT)
LINE = stages.load(WORKSPACE)

# Modules that bear on no output: values of params are tracked by themselves; errors, reports and MLflow runs only tell
# of the work; keys, shards as pieces of work, this declaration and `compute` decide whether and where it is done.
TELLING = {
    "ml",
    "ml.errors",
    "ml.params",
    "ml.sa1b.sharding",
    "ml.workspace.keys",
    "ml.workspace.lineage",
    "ml.workspace.report",
    "ml.workspace.settings",
    "ml.workspace.snapshot",
    "ml.workspace.stages",
}
TELLING_ROOMS = ("ml.compute", "ml.training.tracking")


def telling(module: str) -> bool:
    return module in TELLING or module.startswith(TELLING_ROOMS)


# Files that several stages import for one thing, and that read a section for another.
READ_BY = {
    ("ml/evaluation/benchmarks/index.py", "benchmarks"): "benchmark_data",
    ("ml/evaluation/benchmarks/index.py", "quality"): "benchmark_data",
    ("ml/training/main.py", "labels"): "mask_region_alignment",  # which makes the model; the others go on with it
    ("ml/training/main.py", "mask_region_alignment"): "mask_region_alignment",
    ("ml/training/tasks.py", "mask_region_alignment"): "mask_region_alignment",
}
# Sections that say whom a stage asks, when it gives up, and where it runs: they bear on no output.
NOT_IN_THE_OUTPUT = {
    ("ml/training/launchers/slurm.py", "slurm"),
    ("ml/labeling/captioners/choice.py", "endpoint"),
    ("ml/labeling/captioners/choice.py", "quality"),
}


def path_of(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def imported(tree: ast.AST) -> set[str]:
    """The modules of `ml` that code imports, or names in a string to start them as a program."""
    found: set[str] = set()
    for node in walk_at_run_time(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("ml."):
            found.add(node.value)
    packages = {".".join(name.split(".")[:end]) for name in found for end in range(1, name.count(".") + 2)}
    return {name for name in packages if name.split(".")[0] == "ml" and path_of(name)}


def walk_at_run_time(tree: ast.AST):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from walk_at_run_time(node)


@cache
def imports_of(module: str) -> frozenset[str]:
    path = path_of(module)
    tree = ast.parse(path.read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    beside = {text for text in texts if text.endswith(".py") and (path.parent / text).is_file()}  # read as files
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(imported(tree) | {f"{package}.{name.removesuffix('.py')}" for name in beside})


def closure(modules: set[str]) -> set[str]:
    seen: set[str] = set()
    todo = {module for module in modules if not telling(module)}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= {name for name in imports_of(module) if not telling(name)} - seen
    return seen


def needed(stage: str) -> set[str]:
    """The files of `ml` that a stage's function in the pipeline leads to, itself included."""
    tree = ast.parse((ROOT / "ml" / "pipeline.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, done = ["train" if stage in pipeline.TRAINING else stage], set()
    while todo:
        name = todo.pop()
        done.add(name)
        called = {node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)} & set(functions)
        todo += called - done - {"run"}
    entries = {module for name in done for module in imported(functions[name])}
    return {
        path_of(module).relative_to(ROOT).as_posix()
        for module in closure(entries | {"ml.workspace", "ml.workspace.atomic"})
    }


def sections_read(file: str) -> set[str]:
    """The sections of the params that a file reads as `params.SECTION`."""
    names = [node for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.Attribute)]
    owned = {node.attr for node in names if isinstance(node.value, ast.Name) and node.value.id == "params"}
    return owned & set(Params.model_fields)


@pytest.mark.parametrize("stage", LINE.values(), ids=LINE)
def test_declared_code_covers_what_the_stage_imports(stage: Stage):
    declared = set(code_files(WORKSPACE, stage))
    lacking = needed(stage.name) - declared
    assert not lacking, f"dvc.yaml: {stage.name}: deps lack {', '.join(sorted(lacking))}"


@pytest.mark.parametrize("stage", LINE.values(), ids=LINE)
def test_declared_params_cover_what_the_stage_reads(stage: Stage):
    declared = {key.split(".")[0] for key in stage.params}
    read = {
        section
        for file in needed(stage.name)
        for section in sections_read(file)
        if READ_BY.get((file, section), stage.name) == stage.name and (file, section) not in NOT_IN_THE_OUTPUT
    }
    assert read <= declared, f"dvc.yaml: {stage.name}: params lack {', '.join(sorted(read - declared))}"


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("mask_region_alignment", "ml/models/arrcoc.py"),
        ("compressed_model", "ml/release/export/common.py"),
    ],
)
def test_of_the_labels_just_what_is_read_is_declared(stage: str, file: str):
    nodes = [node for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.Attribute)]
    read = {node.attr for node in nodes if ast.unparse(node.value) in ("labels", "params.labels")}
    assert {f"labels.{key}" for key in read} == {key for key in LINE[stage].params if key.startswith("labels")}


def test_every_stage_of_the_pipeline_is_declared_and_the_other_way_round():
    assert set(LINE) == {*pipeline.SHARDED, *pipeline.WHOLE}
    assert {name for name, stage in LINE.items() if stage.per} == set(pipeline.SHARDED)
    assert all(stage.cmd == f"arrcoc stage {name}" for name, stage in LINE.items())
    assert all(WORKSPACE.root / stage.out == WORKSPACE.stage(name) for name, stage in LINE.items())


def test_what_dvc_shows_lies_in_the_outputs_of_stages():
    declared = yamlfile.read(ROOT / "dvc.yaml", "")
    folders = [path for plot in declared["plots"] for path in shown_files(plot)]
    outputs = {stage.out for stage in LINE.values()}
    assert all(any(path.startswith(f"{out}/") for out in outputs) for path in (*declared["metrics"], *folders))
    curves = {f"data/{stage}/{name}.json" for stage in pipeline.TRAINING for name in ("train", "validation")}
    assert curves < set(folders)


def shown_files(plot: dict) -> list[str]:
    """The files of a plot: those of its y axis, or that of its name."""
    ((name, axes),) = plot.items()
    return list(axes["y"]) if isinstance(axes["y"], dict) else [name]


def test_stages_come_after_those_they_read_from():
    order = list(LINE)
    assert all(order.index(upstream) < order.index(name) for name, s in LINE.items() for upstream in s.upstream)
    assert stages.above(LINE, ["filtered_masks"]) == ["sa1b_shards", "mask_index", "filtered_masks"]
    assert stages.below(LINE, ["benchmark_scores"]) == ["benchmark_scores", "released_model"]
    assert stages.above(LINE, ["released_model"]) == order


@pytest.fixture
def small(tmp_path: Path) -> Workspace:
    """Two stages, each on a file of code."""
    (tmp_path / "ml" / "room").mkdir(parents=True)
    (tmp_path / "ml" / "room" / "first.py").write_text("x = 1\n")
    (tmp_path / "ml" / "second.py").write_text("y = 1\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  later: {cmd: b, deps: [ml/second.py, data/early], params: [seed, filter], outs: [data/later]}\n"
        "  early: {cmd: a, deps: [ml/room], params: [shards.count, shards.source],\n"
        "          outs: [data/early: {persist: true}], meta: {per: shard, listing: [shards.count]}}\n"
    )
    return Workspace(tmp_path)


def test_a_digest_changes_with_declared_code_and_nothing_else(small: Workspace):
    early, later = stages.load(small).values()
    assert (early.name, later.upstream, later.data) == ("early", ("early",), ("data/early",))
    before = digests(small)
    (small.root / "README.md").write_text("words")
    (small.root / "ml" / "room" / "__pycache__").mkdir()
    (small.root / "ml" / "room" / "__pycache__" / "first.pyc").write_text("bytecode")
    assert digests(small) == before
    (small.root / "ml" / "room" / "first.py").write_text("x = 2  # longer\n")
    edited, same = digests(small)
    assert (edited != before[0], same == before[1]) == (True, True)
    (small.root / "ml" / "room" / "added.py").write_text("")
    assert list(code_files(small, early)) == ["ml/room/added.py", "ml/room/first.py"]


def digests(ws: Workspace) -> tuple[str, str]:
    early, later = map(Snapshot(ws).code_digest, stages.load(ws).values())
    return early, later


def test_values_are_those_declared_and_a_new_shard_leaves_the_others_alone(small: Workspace):
    early, later = stages.load(small).values()
    params = preset("smoke")
    assert early.param_values(params) == {"shards.count": 2, "shards.source": "toytown"}
    assert early.shard_values(params) == {"shards.source": "toytown"}
    assert later.param_values(params)["filter"]["hierarchy"] == "containment"


def test_a_file_that_a_param_names_is_read_and_is_no_code(small: Workspace):
    (small.root / "dvc.yaml").write_text(
        'stages: {a: {cmd: a, deps: [ml/second.py, "${labels.caption_file}"], params: [labels], outs: [data/a]}}'
    )
    stage, params = stages.stage(small, "a"), preset("smoke")
    assert (stage.code, stage.named) == (("ml/second.py",), ("labels.caption_file",))
    assert stage.named_files(small, params) == ("ml/presets/captions.jsonl",)
    for path, known in ((small.root / "b/c.jsonl", "b/c.jsonl"), (Path("/elsewhere/c.jsonl"), "/elsewhere/c.jsonl")):
        labels = params.labels.model_copy(update={"caption_file": str(path)})
        assert stage.named_files(small, params.model_copy(update={"labels": labels})) == (known,)  # as DVC records it


def test_a_circle_an_unknown_stage_and_broken_yaml_are_named(small: Workspace):
    with pytest.raises(UserError, match="'earlier' is unknown; choose from early, later"):
        stages.stage(small, "earlier")
    (small.root / "dvc.yaml").write_text(
        "stages:\n  a: {cmd: a, deps: [data/b], outs: [data/a]}\n  b: {cmd: b, deps: [data/a], outs: [data/b]}\n"
    )
    with pytest.raises(UserError, match="circle"):
        stages.load(small)
    (small.root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(UserError, match=r"dvc\.yaml: not readable as YAML"):
        stages.load(small)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "stages: missing; get it back with git checkout dvc.yaml"),
        ("[1]", "found a list of 1; a table"),
        ("stages:", "stages: found None; input should be a valid dictionary"),
        ("stages: {}", "stages: found a table of 0"),
        ("stages: {a: 1}", "stages.a: found 1; input should be a valid dictionary"),
        ("stages: {a: {}}", "stages.a.cmd: missing; get it back"),
        ("stages: {a: {cmd: a}}", "stages.a.outs: missing"),
        ("stages: {a: {cmd: a, outs: []}}", "stages.a.outs: found a list of 0"),
        ("stages: {a: {cmd: a, outs: [1]}}", "stages.a.outs.0: found 1"),
        ("stages: {a: {cmd: [a], outs: [b]}}", "stages.a.cmd: found a list of 1"),
        ("stages: {a: {cmd: a, outs: [b], deps: [{}]}}", "stages.a.deps.0: found a table of 0"),
        ("stages: {a: {cmd: a, outs: [b], meta: {per: day}}}", "stages.a.meta.per: found 'day'"),
        ("stages: {a: {cmd: a, outs: [b], meta: {gpus: true}}}", "stages.a.meta.gpus: unknown key; is gpu meant?"),
    ],
)
def test_an_entry_that_lacks_something_is_one_line_for_each(small: Workspace, text: str, words: str):
    (small.root / "dvc.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        stages.load(small)
    assert f"dvc.yaml: {words}" in str(error.value)
    assert all(len(line.removeprefix(str(small.root))) < 300 for line in str(error.value).splitlines())


@pytest.mark.parametrize("length", range(0, 215, 5))
def test_a_declaration_cut_anywhere_is_told_or_whole(small: Workspace, length: int):
    path = small.root / "dvc.yaml"
    path.write_text(path.read_text()[:length])
    try:
        stages.load(small)
    except UserError as error:
        assert "dvc.yaml: " in str(error)


def test_a_param_that_is_none_is_named(small: Workspace):
    (small.root / "dvc.yaml").write_text("stages: {a: {cmd: a, outs: [b], params: [seed.x]}}")
    with pytest.raises(UserError, match=r"dvc\.yaml: a stage declares the param 'seed\.x', which is none"):
        stages.load(small)["a"].param_values(preset("smoke"))


if __name__ == "__main__":  # what to write into dvc.yaml
    for name in LINE:
        print(name, *sorted(needed(name)), sep="\n  ")
