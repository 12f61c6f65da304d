"""People's own words of place, judged in a town drawn by hand."""

import pytest

from ml.toytown.world.draw import draw
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.places import Placed, read
from ml.toytown.world.scene import Land, Thing, _tree

LAND = Land(100, None, None, False, "grass", "blue")


@pytest.fixture(scope="module")
def town() -> Meaning:
    """Three cars in a row, a small pink one nearer; a house and a tree behind it; two dogs with a ball between them."""
    things = [
        Thing("car", "red", "small", 40, 150, 1.0, False, 0),
        Thing("car", "blue", "small", 120, 152, 1.0, False, 0),
        Thing("car", "green", "small", 210, 150, 1.0, False, 0),
        Thing("car", "pink", "large", 215, 240, 1.5, False, 0),
        Thing("house", "blue", "small", 120, 220, 1.0, False, 0),
        Thing("tree", "green", "small", 140, 210, 1.0, False, 0),
        Thing("dog", "white", "small", 20, 200, 1.0, False, 0),
        Thing("ball", "red", "small", 45, 200, 1.0, False, 0),
        Thing("dog", "pink", "small", 70, 200, 1.0, False, 0),
    ]
    return Meaning(draw(_tree("by hand", LAND, sorted(things, key=lambda thing: thing.y))))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("left car", ["red car"]),
        ("the car on left", ["red car"]),
        ("the car at the very bottom", ["pink car"]),
        ("upper dog", ["pink dog", "white dog"]),
        ("second car from the left", ["blue car"]),
        ("the car 2nd from left", ["blue car"]),
        ("third from left car", ["green car"]),
        ("car second from the bottom", ["blue car"]),
        ("third dog from left", []),
        ("bottom right car", ["pink car"]),
        ("car in lower right corner", ["pink car"]),
        ("the car in the middle", ["blue car"]),
        ("front car", ["pink car"]),
        ("the car closest to the camera", ["pink car"]),
        ("car near front", ["pink car"]),
        ("car farthest away", ["green car", "red car"]),
        ("ball next to the white dog", ["red ball"]),
        ("car by the house", []),
        ("car closest to the red ball", ["red car"]),
        ("dog nearest the house", ["pink dog"]),
        ("tree behind the house", ["green tree"]),
        ("the house in front of tree", ["blue house"]),
        ("house behind the tree", []),
        ("ball between the two dogs", ["red ball"]),
        ("ball in between the white dog and pink dog", ["red ball"]),
        ("ball between two cars", []),
        ("house between the white dog and the pink dog", []),
        ("ball on the right side of the white dog", ["red ball"]),
        ("dog on the left of the ball", ["white dog"]),
        ("smaller car", ["blue car", "green car", "red car"]),
        ("car in the middle of the picture", ["blue car"]),
        ("biggest car", ["pink car"]),
        ("the house under the blue car", ["blue house"]),
        ("second from left", []),
        ("front", []),
    ],
)
def test_meaning(town: Meaning, text: str, meant: list[str]) -> None:
    nodes = [town.drawing.scene.nodes[i] for i in town.of(text)]
    assert sorted(f"{node.colour} {node.kind}" for node in nodes) == meant


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("second car from the left", True),
        ("car second from the bottom", False),  # the other two are two pixels off
        ("front car", True),
        ("upper dog", False),
        ("ball next to the white dog", True),
        ("dog next to the ball", False),
        ("car closest to the red ball", True),
        ("tree behind the house", True),
    ],
)
def test_clear(town: Meaning, text: str, clear: bool) -> None:
    meant = town.clear(text)
    assert (len(meant) == 1) == clear


@pytest.mark.parametrize(
    "text",
    [
        "red car",
        "red car left of the house",
        "car below the tree",
        "wheel of the car",
        "group of two dogs",
        "largest car",
        "",
    ],
)
def test_what_says_none_of_these_words(text: str) -> None:
    assert read(text) is None


def test_reading() -> None:
    assert read("3rd small red car from right") == Placed("small red car", "third from right")
    assert read("car in back of the red house") == Placed("car", "behind", ("red house",))
    assert read("dog between car and the tree") == Placed("dog", "between", ("car", "tree"))
    assert read("car left") == Placed("car", "leftmost")
