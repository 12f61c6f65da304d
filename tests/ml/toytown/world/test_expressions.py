import numpy as np

from ml.toytown.world.expressions import expressions, spoken
from ml.toytown.world.meaning import Meaning

KINDS = {"attribute", "relation", "superlative", "part", "group", "scene"}


def test_each_spoken_expression_means_its_targets_alone(drawings):
    rng = np.random.default_rng(0)
    for drawing in drawings:
        town, nodes = Meaning(drawing), drawing.scene.nodes
        for e in expressions(drawing):
            assert town.of(spoken(e, rng)) == e.targets
            assert len(e.targets) == 1 or e.kind == "part"
            level = nodes[e.targets[0]].level
            assert level == (e.kind if e.kind in ("part", "group", "scene") else "object")


def test_all_kinds_occur_and_some_need_no_place(drawings):
    said = [e for drawing in drawings for e in expressions(drawing)]
    assert {e.kind for e in said} == KINDS
    assert {e.kind for e in said if not e.located} == KINDS
    assert all(e.located for e in said if "most " in e.text or " left" in e.text)


def test_superlatives_choose_among_several(drawings):
    for drawing in drawings:
        town = Meaning(drawing)
        for e in expressions(drawing):
            if e.kind == "superlative" and not e.text.endswith(("left", "right")):
                assert len(town.of(e.text.partition(" ")[2])) > 1
