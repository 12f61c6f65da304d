"""Any file in the place of a YAML file is its plain values, or one line for each key that has none."""

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML, YAMLError

from ml.errors import UserError, cut
from ml.workspace.yamlfile import MOST_COMPLAINTS, key, plain, read, shown

ROOT = Path(__file__).parents[3]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "a date that is none": ("seed: 2026-13-45", "seed: found '2026-13-45'; it reads as a date; put it in quotes"),
    "a date": ("seed: 2026-10-01 10:00:00", "seed: found '2026-10-01 10:00:00'; it reads as a date"),
    "an empty tagged integer": ('a: {seed: !!int ""}', "a.seed: found the tag 'tag:yaml.org,2002:int'; write the"),
    "a tagged object": ("seed: !!python/object/apply:os.system [ls]", "seed: found the tag 'tag:yaml.org"),
    "a long number": ("a: [1, " + "9" * 5000 + "]", "a.1: found '9999"),
    "a long hexadecimal": ("seed: 0x" + "f" * 5000, "a number of at most 40 digits is wanted"),
    "a bad escape": ('seed: "\\q"', "line 1, column 8: found unknown escape character"),
    "half a surrogate": ('seed: "\\ud800"', "line 1, column 10: found invalid Unicode character escape code"),
    "nested brackets": ("seed: " + "[" * 3000, "nested more than 20 deep"),
    "nested lists": ("- " * 100_000, "nested more than 20 deep"),
    "a key twice": ("a:\n  seed: 0\n  seed: 1", "a.seed: found twice; leave one"),
    "laughs": (BOMB, "more than 50000 values, counting what aliases"),
    "laughs by merging": (BOMB.replace("[x", "[{y: 1}, x"), "more than 50000 values, counting what aliases"),
    "an alias in itself": ("a: &a [*a]", "line 1, column 8: the alias *a is of nothing that was anchored"),
    "an alias of nothing": ("a: *b", "the alias *b is of nothing that was anchored"),
    "no number": ("lr: .nan", "lr: found '.nan'; a finite number is wanted"),
    "no end": ("lr: -.inf", "lr: found '-.inf'; a finite number is wanted"),
    "a key that is a number": ("a: {1: x}", "a: found the key 1; a text is wanted, put it in quotes"),
    "a key that is a list": ("? [1]\n: x", "found the key a list of 1; a text is wanted"),
    "a key that is null": ("~: x", "found the key None; a text is wanted"),
    "two documents": ("a: 1\n---\nb: 1", "a second document begins"),
    "a list": ("[1, 2]", "found a list of 2; a table of keys and values is wanted"),
    "a long text": ("x" * 5000, "x... (5002 characters); a table"),
    "control characters": ("\x00\x1b", "control characters are not allowed"),
    "many tables": ("a: [" + "{}," * 60_000 + "]", "more than 50000 values"),
}


@pytest.mark.parametrize("text, words", REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_value_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read(file, "mend it")
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value).removeprefix(str(file))) < 300


def test_every_bad_key_has_its_line_and_the_rest_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("".join(f"key_{number}: .nan\n" for number in range(25)))
    with pytest.raises(UserError) as error:
        read(file, "mend it")
    *lines, last = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"key_{number}" for number in range(MOST_COMPLAINTS)]
    assert last == f"{file}: and 15 more"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(bytes(range(256))), "byte 128 is no UTF-8 text"),
        (lambda file: file.mkdir(), "it is no file"),
        (os.mkfifo, "it is no file"),
        (lambda file: file.symlink_to("nowhere"), "No such file or directory"),
        (lambda file: file.symlink_to(file.name), "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_text_file_is_one_line(tmp_path: Path, spoil, words: str) -> None:
    file = tmp_path / "params.yaml"
    spoil(file)
    with pytest.raises(UserError, match=rf"params\.yaml: not readable as YAML: {words}.*; mend it$"):
        read(file, "mend it")


def test_a_file_of_200_megabytes_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    with file.open("wb") as out:
        out.truncate(200_000_000)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="200000000 bytes, more than"):
        read(file, "mend it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert time.monotonic() - begun < 1


def test_what_has_plain_values_is_read(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(
        "\ufeffa: &one {x: 010, y: 1e-3, z: 0x1f}\nb: *one\nc: {<<: *one, x: '2026-13-45'}\n"
        'd: [~, true, False, yes, 1_000, -.5, "\\u00e9", 9.]\n'
    )
    one = {"x": 10, "y": 0.001, "z": 31}
    values = [None, True, False, "yes", 1000, -0.5, "é", 9.0]
    assert read(file, "") == {"a": one, "b": one, "c": {**one, "x": "2026-13-45"}, "d": values}
    file.write_text("")
    assert read(file, "") == {}


def test_numbers_and_words_are_read_as_dvc_reads_them() -> None:
    dvc, draw = YAML(typ="safe"), random.Random(0)
    texts = ["~", "null", "nULL", "true", "tRUE", "yes", "off", "1:30", "1e-05", "1E5", "08", "0o8", "+1", "0.0001"]
    texts += ["".join(draw.choices("0123.eE+-x", k=draw.randint(1, 6))) for _ in range(1000)]
    for text in texts:
        try:
            theirs = dvc.load(f"a: {text}")["a"]
        except (YAMLError, ValueError):  # no value by itself
            continue
        if not text.lstrip("+-").startswith("."):  # `.5e3`: a number by YAML 1.2, a text for DVC's reader
            assert (plain(text), type(plain(text))) == (theirs, type(theirs)), text


def test_values_and_keys_in_a_message_are_short_and_on_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown("x" * 1000) == "'" + "x" * 39 + "... (1002 characters)"
    assert shown({"a": 1}) == "a table of 1"
    assert key(("a", 0, "b c\x1b")) == "a.0.'b c\\x1b'"
    assert len(key(("x" * 1000,))) < 80
    assert cut("a\n  b", 10) == "a b"
    assert cut("x" * 50, 10) == "xxxxxxx..."


def test_it_stays_small_and_quick_whatever_it_reads(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: [" + "9," * 1_900_000 + "]")
    code = (
        "import resource, sys, time; from pathlib import Path; from ml.errors import UserError\n"
        "from ml.workspace.yamlfile import read\n"
        "begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read(Path('params.yaml'), '')\n"
        "except UserError as error: print(error)\n"
        "print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command, env = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(ROOT)}
    said, measured = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "more than 50000 values" in said
    seconds, kilobytes = map(float, measured.split())
    assert seconds < 5  # it takes 0.2
    assert kilobytes < 200_000
