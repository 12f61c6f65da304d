"""The newcomer's page, docs/walk.md: every stop it names is there, and it stays short enough to be read."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "walk.md"
TEXT = PAGE.read_text(encoding="utf-8")
STOPS = re.findall(r"`([\w./-]+\.py):([\w.]+)`", TEXT)  # `path/file.py:function`, `path/file.py:Class.method`
FILES = re.findall(r"`([\w-]+(?:/[\w.-]+)+\.(?:py|md|yaml))`", TEXT)  # in the checkout, named without a function
LINKS = re.findall(r"\]\(([^)#:]+)\)", TEXT)  # relative to the page
MODULES = re.findall(r"^>>> from ((?:ml|orchestration)[\w.]*) import ", TEXT, re.MULTILINE)
FEWEST_STOPS, MOST_LINES, WIDEST = 10, 260, 120


def defined(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The functions and classes of a module or class by name, each with what a class holds."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node.body if isinstance(node, ast.ClassDef) else [] for node in body if isinstance(node, kinds)}


def missing(path: str, name: str) -> str:
    """What of a stop is not there ("": all of it is)."""
    if not (ROOT / path).is_file():
        return path
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = defined(body)
        if part not in found:
            return f"{part} in {path}"
        body = found[part]
    return ""


@pytest.mark.parametrize(("path", "name"), STOPS, ids=[f"{path}:{name}" for path, name in STOPS])
def test_a_stop_is_there(path: str, name: str) -> None:
    assert not missing(path, name)


def test_there_are_stops_enough() -> None:
    assert len(set(STOPS)) >= FEWEST_STOPS


def test_every_bold_paragraph_names_a_stop() -> None:
    bold = re.findall(r"\*\*(.+?)\*\*", TEXT)
    assert bold and not [words for words in bold if not re.fullmatch(r"(\d+\. )?`[\w./-]+\.py:[\w.]+`", words)]


def test_the_other_files_are_there() -> None:
    modules = [ROOT / module.replace(".", "/") for module in MODULES]
    gone = [module for module in modules if not (module.with_suffix(".py").is_file() or module.is_dir())]
    gone += [ROOT / path for path in FILES if not (ROOT / path).is_file()]
    assert not gone + [PAGE.parent / link for link in LINKS if not (PAGE.parent / link).is_file()]


def test_it_is_short() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= MOST_LINES
    assert not [line for line in lines if len(line) > WIDEST]
