import numpy as np
import pytest

from ml.masks import Masks
from ml.toytown.files.shards import image_id, imprecise, proposals
from ml.toytown.files.truth import Truth, truth, truth_of_image
from ml.toytown.world.scene import random_for


@pytest.fixture(scope="module")
def told(drawings) -> Truth:
    return Truth(next(d for d in drawings if any(node.level == "group" for node in d.scene.nodes)))


def grandparent(told, node) -> int:
    return told.drawing.scene.nodes[node.parent].parent


def test_true_masks_are_their_nodes(told):
    shown = np.flatnonzero(told.drawing.areas)
    masks = Masks.from_dense(told.drawing.masks[shown])
    assert (told.nodes(masks) == shown).all()
    assert told.levels(masks) == [told.drawing.scene.nodes[i].level for i in shown]
    place = {node: i for i, node in enumerate(shown)}
    assert told.parents(masks).tolist() == [place.get(told.drawing.scene.nodes[i].parent, -1) for i in shown]


def test_a_missing_parent_is_skipped(told):
    part = next(n for n in told.drawing.scene.nodes if n.level == "part" and grandparent(told, n) >= 0)
    group = grandparent(told, part)
    masks = Masks.from_dense(told.drawing.masks[[part.id, group]])
    assert told.parents(masks).tolist() == [1, -1]


def test_imprecise_masks_and_noise(told):
    rng = np.random.default_rng(0)
    shown = np.flatnonzero(told.drawing.areas >= 60)
    noise = np.zeros((256, 256), bool)
    noise[::7, ::5] = True
    dense = [imprecise(told.drawing.masks[i], rng) for i in shown] + [noise, noise & False]
    assert told.nodes(Masks.from_dense(np.stack(dense))).tolist() == [*shown, -1, -1]


def test_relevance_is_the_greatest_iou_with_what_is_meant(told):
    dense = np.stack([mask for mask, _ in proposals(told.drawing, random_for("relevance"))])
    kind = told.drawing.scene.things[0].kind
    meant = told.drawing.masks[list(told.meaning.of(kind))]
    expected = [max((m & mask).sum() / max((m | mask).sum(), 1) for m in meant) for mask in dense]
    assert told.relevance(kind, Masks.from_dense(dense)) == pytest.approx(expected)


def test_nonsense_is_relevant_to_nothing(told):
    masks = Masks.from_dense(told.drawing.masks[:3])
    assert told.relevance("a purple elephant", masks).tolist() == [0, 0, 0]


def test_truth_by_image_id(few):
    assert truth_of_image(image_id(2, 5, few), few).drawing.scene == truth(2, 5, few).drawing.scene


def test_relevance_to_some_nodes_is_that_of_their_overlaps(told):
    masks = told.masks.select(np.arange(len(told.masks))[::2])
    every = told.masks.iou(masks)
    for targets in ((), (0,), tuple(range(len(every)))[1::2]):
        assert (told.relevance_to(targets, masks) == every[list(targets)].max(0, initial=0.0)).all()
