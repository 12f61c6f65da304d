import itertools
import json
from collections import Counter

import pytest

from ml.evaluation.benchmarks.absence import read_absence
from ml.toytown.files.absence import MOST, OPPOSITE, write_absence
from ml.toytown.files.benchmarks import write_benchmark
from ml.toytown.world.draw import draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import HELD_OUT, scene


@pytest.fixture(scope="module")
def some(few):
    """Enough images that whatever may go wrong does."""
    return few.model_copy(update={"toytown": few.toytown.model_copy(update={"absence_images": 30})})


@pytest.fixture(scope="module")
def folder(some, tmp_path_factory):
    path = tmp_path_factory.mktemp("absence")
    write_absence(path, some)
    return path


@pytest.fixture(scope="module")
def asked(folder, some):
    """Each image's queries, with the reader of its scene."""
    rows = [json.loads(line) for line in (folder / "absence_val.jsonl").read_text().splitlines()]
    return [(Meaning(draw(scene(some.seed, index, "absence/val"))), row["queries"]) for index, row in enumerate(rows)]


def of_kind(asked, kind, *sides):
    """Texts of a kind, present or absent, with the reader of their scene."""
    return [
        (town, q["text"]) for town, queries in asked for q in queries if q["kind"] == kind and q["present"] in sides
    ]


def test_what_is_present_means_something_and_what_is_absent_nothing_even_loosely(asked):
    for town, queries in asked:
        for query in queries:
            assert bool(town.of(query["text"])) == bool(town.of(query["text"], loose=True)) == query["present"], query


def test_both_sides_of_each_kind_and_only_nouns_are_asked_for_without_limit(asked):
    counts = [Counter((query["kind"], query["present"]) for query in queries) for _, queries in asked]
    most = {side: max(count[side] for count in counts) for side in set().union(*counts)}
    for side in (True, False):
        assert most["attribute", side] == most["relation", side] == MOST < most["name", side]
    assert len(most) == 6


def test_every_noun_is_asked_for_as_it_is(asked):
    for _, queries in asked:
        assert [query["text"] for query in queries if query["kind"] == "name"] == [*KINDS]


def test_an_absent_colour_is_of_a_kind_that_is_there_and_none_is_held_out(asked):
    for town, text in of_kind(asked, "attribute", True, False):
        colour, noun = text.removeprefix("the ").split()
        assert town.of(noun) and (colour, noun) not in HELD_OUT


def test_an_absent_relation_is_one_that_holds_turned_round(asked):
    for town, text in of_kind(asked, "relation", False):
        plain = text.replace(" to the ", " ")
        turned = [plain.replace(f" {word} ", f" {other} ") for word, other in OPPOSITE.items() if f" {word} " in plain]
        assert len(turned) == 1 and len(town.clear(turned[0])) == 1


def test_the_words_of_a_relation_and_how_it_is_spoken_do_not_tell_its_side(asked):
    sides = [[text for _, text in of_kind(asked, "relation", side)] for side in (True, False)]
    assert all(any(word in text for word in OPPOSITE) for text in itertools.chain(*sides))
    for word in (*OPPOSITE, "to the left of", "to the right of"):
        seldom, often = sorted(sum(word in text for text in side) for side in sides)
        assert seldom > often / 2, f"{word}: {often} on one side, {seldom} on the other"


def test_an_article_does_not_tell_whether_a_colour_is_there(asked):
    for side in (True, False):
        spoken = [text.startswith("the ") for _, text in of_kind(asked, "attribute", side)]
        assert 0.3 < sum(spoken) / len(spoken) < 0.7


def test_the_same_seed_gives_the_same_files_and_another_others(few, tmp_path):
    def files(path):
        return {p.relative_to(path): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}

    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write_benchmark(tmp_path / name, few.model_copy(update={"seed": seed}), "absence")
    assert files(tmp_path / "one") == files(tmp_path / "two") != files(tmp_path / "other")


def test_the_evaluation_reads_all_of_it(folder, some):
    (benchmark,) = read_absence(folder)
    assert not benchmark.rejected and len(benchmark.images) == some.toytown.absence_images
    assert {len(example.truth) for example in benchmark.examples} == {1}
