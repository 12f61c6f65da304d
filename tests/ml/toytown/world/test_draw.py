from dataclasses import replace

import numpy as np

from ml.toytown.world.draw import PALETTE, draw
from ml.toytown.world.scene import scene


def test_image_and_masks(drawings):
    for drawing in drawings:
        assert drawing.image.shape == (256, 256, 3) and drawing.image.dtype == np.uint8
        assert drawing.masks.shape == (len(drawing.scene.nodes), 256, 256)
        assert (drawing.areas == drawing.masks.sum((1, 2))).all()


def test_same_scene_same_bytes():
    assert (draw(scene(1, 2, "tests")).image == draw(scene(1, 2, "tests")).image).all()


def test_every_pixel_has_one_owner_and_parents_hold_children(drawings):
    for drawing in drawings:
        tops = [node.id for node in drawing.scene.nodes if node.parent < 0]
        assert (drawing.masks[tops].sum(0) == 1).all()
        for node in drawing.scene.nodes:
            if node.parent >= 0:
                assert not (drawing.masks[node.id] & ~drawing.masks[node.parent]).any()


def test_boxes_are_tight(drawings):
    for drawing in drawings:
        for mask, box in zip(drawing.masks, drawing.boxes, strict=True):
            ys, xs = np.nonzero(mask)
            expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0] * 4
            assert box.tolist() == expected


def test_most_objects_are_mostly_visible(drawings):
    shares = []
    for drawing in drawings[:8]:
        for thing, node in zip(drawing.scene.things, drawing.scene.thing_nodes, strict=True):
            alone = replace(drawing.scene, things=(thing,), thing_nodes=(99,), part_nodes=({},))
            shares.append(drawing.areas[node] / (draw(alone).owner == 99).sum())
    assert max(shares) <= 1 and np.mean(np.array(shares) >= 0.6) > 0.95


def test_objects_show_their_colour(drawings):
    names = list(PALETTE)
    table = np.array([PALETTE[name] for name in names], float)
    hits = []
    for drawing in drawings:
        for node in drawing.scene.nodes:
            if node.level == "object" and drawing.areas[node.id] > 60:
                pixels = drawing.image[drawing.masks[node.id]].astype(float)
                distance = np.linalg.norm(pixels[:, None] - table, axis=2)
                near = distance.argmin(1)[distance.min(1) < 50]
                votes = np.bincount(near, minlength=len(names))
                hits.append(names[votes.argmax()] == node.colour)
    assert np.mean(hits) > 0.95
