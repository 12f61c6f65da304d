import numpy as np

from ml.toytown.world.expressions import expressions
from ml.toytown.world.language import NUMBERS, article, caption
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.sentences import plain, questions, scene_caption, sentence


def test_articles_and_captions(drawings):
    assert (article("orange car"), article("red car")) == ("an orange car", "a red car")
    drawn = drawings[0].scene
    said = {node.level: caption(drawn, node) for node in drawn.nodes}
    assert said["part"].count(" of a") == 1
    assert caption(drawn, drawn.nodes[0]) in ("blue sky", "pink sky", "orange sky")


def test_each_phrase_alone_finds_its_regions(drawings):
    rng = np.random.default_rng(0)
    for drawing in drawings:
        town = Meaning(drawing)
        for _ in range(5):
            said = [chunk for chunk in sentence(town, rng) if chunk.nodes]
            assert len(said) >= 2
            assert all(town.of(chunk.text) == chunk.nodes for chunk in said)


def test_no_object_is_told_twice(drawings):
    rng = np.random.default_rng(1)
    for drawing in drawings:
        told = [node for chunk in sentence(Meaning(drawing), rng) for node in chunk.nodes]
        assert len(told) == len(set(told))
        assert not {drawing.scene.nodes[node].parent for node in told} & set(told)


def test_scene_captions_vary(drawings):
    rng = np.random.default_rng(2)
    assert len({scene_caption(drawings[0], rng) for _ in range(20)}) > 5
    assert "  " not in plain(sentence(Meaning(drawings[1]), rng))


def test_answers_are_true(drawings):
    rng = np.random.default_rng(0)
    for drawing in drawings:
        town, nodes = Meaning(drawing), drawing.scene.nodes
        asked = questions(town, expressions(drawing), rng)
        for q in asked:
            if q.question.startswith("what color"):
                (target,) = q.evidence
                assert nodes[target].colour == q.answer and q.answer not in q.question
            elif q.question.startswith("how many"):
                assert NUMBERS.index(q.answer) == len(q.evidence)
            elif q.question.startswith("is there"):
                thing = q.question.removeprefix("is there ").rstrip("?")
                assert (q.answer == "yes") == bool(town.of(thing))
            else:
                assert caption(drawing.scene, nodes[q.evidence[0]]) == q.answer
        assert {q.question.split()[0] for q in asked} >= {"how", "is"}
