"""Imports run downward only: each room may use those below it, never those above."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOUNDATION = (
    *("ml.params", "ml.workspace", "ml.atomic", "ml.errors", "ml.report"),
    *("ml.stages", "ml.keys", "ml.pool", "ml.ray_pool", "ml.lineage", "ml.memory"),
)
LAYERS = [  # from the ground up; rooms of one layer may use one another
    FOUNDATION,
    ("ml.masks",),
    ("ml.sa1b",),
    ("ml.labeling",),
    ("ml.models", "ml.objectives"),
    ("ml.training",),
    ("ml.evaluation",),
    ("ml.release",),
    ("ml.toytown",),
    ("ml.pipeline", "ml.results"),
    ("orchestration",),
    ("ml.cli", "ml.commands", "ml.bench", "ml.compile"),
]
FILES = sorted(path for folder in ("ml", "orchestration") for path in (ROOT / folder).rglob("*.py"))


def layer(module: str) -> int | None:
    """The height of a module; None for the empty package `ml` itself."""
    rooms = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}
    names = [name for name in rooms if module == name or module.startswith(f"{name}.")]
    return rooms[names[0]] if names else None


def imports(path: Path) -> set[str]:
    """Every module that a file imports, late or for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downward(path: Path):
    here = layer(name_of(path))
    if name_of(path) == "ml":
        return
    assert here is not None, f"{name_of(path)} belongs to no room; give it a layer"
    upward = {name for name in imports(path) if (height := layer(name)) is not None and height > here}
    assert not upward, f"{name_of(path)} imports from above: {', '.join(sorted(upward))}"


def test_only_orchestration_knows_dagster():
    allowed = {"dagster_pipes"}  # the training process answers Dagster in its words
    for path in FILES:
        if not name_of(path).startswith("orchestration"):
            known = {name.split(".")[0] for name in imports(path)}
            assert not {name for name in known if name.startswith("dagster")} - allowed, name_of(path)


def test_the_folder_of_the_tracking_store_shadows_no_library():
    assert not (ROOT / "mlflow" / "__init__.py").exists()
