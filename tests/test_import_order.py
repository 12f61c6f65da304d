"""Imports run one way, for folders as for files: each room may use those below it, and no two use each other."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [  # from the ground up; those of one line know nothing of each other
    {"ml.errors"},
    {"ml.params"},
    {"ml.workspace", "ml.compute"},
    {"ml.masks"},
    {"ml.sa1b"},
    {"ml.labeling"},
    {"ml.models", "ml.objectives"},
    {"ml.training"},
    {"ml.evaluation"},
    {"ml.release"},
    {"ml.serving"},
    {"ml.toytown"},
    {"ml.pipeline"},
    {"ml.bench"},
    {"orchestration"},
]
FILES = sorted(path for folder in ("ml", "orchestration") for path in (ROOT / folder).rglob("*.py"))
MOST_FILES = 14  # on one level; the commands are a list, which grows by a file a command


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """Every module of the house that a file imports, late or for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


ARROWS = {name: imports(path) & set(MODULES) for name, path in MODULES.items()}


def height(module: str) -> int | None:
    """The floor of the room that a module belongs to; None for the empty package `ml`."""
    floors = [floor for floor, rooms in enumerate(ROOMS) for room in rooms if f"{module}.".startswith(f"{room}.")]
    return floors[0] if floors else None


def room(module: str) -> str:
    return next(room for rooms in ROOMS for room in rooms if f"{module}.".startswith(f"{room}."))


@pytest.mark.parametrize("module", [name for name in MODULES if name != "ml"])
def test_rooms_use_only_those_below_them(module: str):
    here = height(module)
    assert here is not None, f"{module} belongs to no room; give it one"
    used = {name for name in ARROWS[module] if name != "ml" and room(name) != room(module)}
    upward = {name for name in used if height(name) >= here}
    assert not upward, f"{module} imports from above, or from beside: {', '.join(sorted(upward))}"


def within(folder: str) -> dict[str, set[str]]:
    """Who imports whom among what lies in a folder, each subfolder taken as one."""
    start = f"{folder}."
    found: dict[str, set[str]] = defaultdict(set)
    for module, used in ARROWS.items():
        if module.startswith(start):
            child = module.removeprefix(start).partition(".")[0]
            others = {name.removeprefix(start).partition(".")[0] for name in used if name.startswith(start)}
            found[child] |= others - {child}
    return found


FOLDERS = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_in_a_folder_imports_in_a_circle(folder: str):
    try:
        TopologicalSorter(within(folder)).prepare()
    except CycleError as error:
        pytest.fail(f"{folder}: these import one another: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_lives_there_and_holds_what_one_can_take_in(folder: str):
    path = MODULES[folder]
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path}: say what lives here and what it may import"
    files = [file for file in path.parent.glob("*.py") if file.name != "__init__.py"]
    assert len(files) <= MOST_FILES or folder == "orchestration.commands", f"{folder}: {len(files)} files on one level"


def test_every_folder_with_code_is_a_room():
    folders = {path.parent for path in FILES}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    loose = {path.stem for path in (ROOT / "ml").glob("*.py")} - {"__init__"}
    assert loose == {"pipeline", "params", "errors"}


def test_the_table_of_contents_holds_nothing_else():
    text = (ROOT / "ml" / "pipeline.py").read_text()
    assert len(text.splitlines()) <= 150


def test_only_orchestration_knows_dagster():
    allowed = {"dagster_pipes"}  # the training process answers Dagster in its words
    for name, path in MODULES.items():
        if not name.startswith("orchestration"):
            tree = ast.walk(ast.parse(path.read_text()))
            nodes = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
            known = {getattr(node, "module", None) or alias.name for node in nodes for alias in node.names}
            dagster = {module.split(".")[0] for module in known if module.startswith("dagster")}
            assert not dagster - allowed, name


def test_the_folder_of_the_tracking_store_shadows_no_library():
    assert not (ROOT / "mlflow" / "__init__.py").exists()
