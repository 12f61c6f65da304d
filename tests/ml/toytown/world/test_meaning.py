import pytest

from ml.toytown.world.draw import draw
from ml.toytown.world.kinds import parts
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.scene import Land, Scene, Thing, _tree

LAND = Land(100, None, None, False, "grass", "blue")


def place(kind, colour, size, x, y, group=-1):
    return Thing(kind, colour, size, x, y, {"small": 1.0, "large": 1.75}[size], False, 0, group)


@pytest.fixture(scope="module")
def town() -> Meaning:
    things = [
        place("house", "blue", "large", 128, 160),
        place("car", "red", "small", 40, 165),
        place("car", "red", "large", 210, 170),
        place("ball", "yellow", "small", 128, 230, 0),
        place("ball", "yellow", "small", 148, 230, 0),
        place("dog", "white", "small", 128, 158.5),
        place("flower", "pink", "small", 30, 240),
    ]
    drawn: Scene = _tree("by hand", LAND, sorted(things, key=lambda thing: thing.y))
    assert all(parts(thing.shapes) for thing in things)
    return Meaning(draw(drawn))


def names(town, text):
    nodes = town.drawing.scene.nodes
    found = [nodes[i] for i in town.of(text)]
    return sorted(f"{n.size or n.level} {n.colour} {n.kind}" for n in found)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("the house", ["large blue house"]),
        ("red car", ["large red car", "small red car"]),
        ("a small red car", ["small red car"]),
        ("green car", []),
        ("the red car left of the house", ["small red car"]),
        ("the car to the right of the blue house", ["large red car"]),
        ("the flower below the small car", ["small pink flower"]),
        ("the house above the yellow ball", ["large blue house"]),
        ("the car larger than the small car", ["large red car"]),
        ("leftmost car", ["small red car"]),
        ("the rightmost ball", ["small yellow ball"]),
        ("red car on the right", ["large red car"]),
        ("the largest car", ["large red car"]),
        ("smallest red car", ["small red car"]),
        ("the roof of the blue house", ["part blue roof"]),
        ("the wheel of the large car", ["part red wheel"] * 2),
        ("the wheel of the car left of the house", ["part red wheel"] * 2),
        ("a group of two yellow balls", ["group yellow ball"]),
        ("two balls", ["group yellow ball"]),
        ("two cars", ["large red car", "small red car"]),
        ("three cars", []),
        ("the green grass", ["scene green grass"]),
        ("blue sky", ["scene blue sky"]),
        ("yellow sky", []),
        ("", []),
        ("left of", []),
        ("the wheel of", []),
    ],
)
def test_meaning(town, text, meant):
    assert names(town, text) == meant


def test_inside_and_overlapping(town):
    (house,), (car,) = town.of("house"), town.of("small car")
    (door,) = town.of("the door of the house")
    assert town.holds("inside", door, house) and not town.holds("inside", car, house)
    assert not town.holds("overlapping", car, house)
    pair = [node.id for node in town.drawing.scene.nodes if node.kind == "ball" and node.level == "object"]
    assert town.holds("overlapping", *pair) == town.holds("overlapping", *pair[::-1])


def test_unclear_phrases_mean_nothing_clearly(town):
    assert town.clear("leftmost car") == town.of("leftmost car")
    assert town.clear("the topmost car") == ()  # five pixels apart
