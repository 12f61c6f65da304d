import itertools
from collections import Counter

import pytest

from ml.toytown.world.kinds import KINDS
from ml.toytown.world.language import caption
from ml.toytown.world.scene import COLOURS, HELD_OUT, SIDE, scene

GOLDEN = {
    "a green dog": 2,
    "a green tree": 1,
    "a group of two trees": 1,
    "a red dog": 1,
    "an orange tree": 1,
    "pink sky": 1,
    "yellow sand": 1,
}


def pairs(drawn):
    return [(thing.colour, thing.kind) for thing in drawn.things]


def test_scene_depends_on_seed_split_and_index_alone():
    assert scene(3, 7, "val") == scene(3, 7, "val")
    others = [scene(4, 7, "val"), scene(3, 8, "val"), scene(3, 7, "test"), scene(3, 7, "pretrain")]
    assert len({repr(s.things) for s in [scene(3, 7, "val"), *others]}) == 5


def test_golden_scene():
    drawn = scene(0, 0, "val")
    said = Counter(caption(drawn, node) for node in drawn.nodes if node.level != "part")
    assert said == GOLDEN


def test_scenes_hold_four_to_nine_objects_inside_the_picture():
    for index in range(200):
        drawn = scene(0, index, "tests")
        assert 4 <= len(drawn.things) <= 12
        for thing in drawn.things:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= SIDE and 0 <= y0 < y1 <= SIDE
            assert x1 - x0 >= 14 and y1 - y0 >= 14


def test_held_out_pairs_never_appear_unasked():
    seen = Counter(pair for index in range(600) for pair in pairs(scene(0, index, "sa_000000")))
    assert not HELD_OUT & seen.keys()
    assert seen.keys() == set(itertools.product(COLOURS, KINDS)) - HELD_OUT


def test_held_out_scenes_have_one_each():
    seen = Counter()
    for index in range(120):
        held = HELD_OUT & set(pairs(scene(0, index, "heldout", holdout=True)))
        assert held
        seen.update(held)
    assert seen.keys() == HELD_OUT


def test_large_is_clearly_larger_than_small():
    areas = {size: [] for size in ("small", "large")}
    for index in range(300):
        for thing in scene(0, index, "tests").things:
            w, h = KINDS[thing.kind].size
            x0, y0, x1, y1 = thing.box
            areas[thing.size].append((x1 - x0) * (y1 - y0) / (w * h))
    assert min(areas["large"]) / max(areas["small"]) >= 2


@pytest.mark.parametrize("index", range(20))
def test_tree_of_nodes(index):
    drawn = scene(0, index, "tests")
    order = {"part": 0, "object": 1, "group": 2}
    assert [node.id for node in drawn.nodes] == list(range(len(drawn.nodes)))
    for node in drawn.nodes:
        if node.parent >= 0:
            assert order[drawn.nodes[node.parent].level] == order[node.level] + 1
        if node.level == "group":
            members = drawn.children(node.id)
            assert len(members) == node.count and {m.kind for m in members} == {node.kind}
