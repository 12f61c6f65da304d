"""The town's English: what a region is called, alone, in a scene and in a sentence about a scene."""

from ml.toytown.world.kinds import KINDS
from ml.toytown.world.scene import Node, Scene

UNCOUNTABLE = ("sky", "grass", "sand", "water")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def article(words: str) -> str:
    """`words` with a or an before it."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(noun: str) -> str:
    """The plural of a noun: a kind's own, else with an s."""
    return KINDS[noun].plural if noun in KINDS else f"{noun}s"


def join(*words: str | None) -> str:
    """Words with spaces between; None and "" are left out."""
    return " ".join(word for word in words if word)


def caption(scene: Scene, node: Node) -> str:
    """What a crop of a region shows: "a red car", "a wheel of a blue car", "a group of three red balls", "green grass".

    A crop cannot show size, so none is told.
    """
    if node.level == "part":
        return f"{article(node.kind)} of {caption(scene, scene.nodes[node.parent])}"
    if node.level == "group":
        return f"a group of {join(NUMBERS[node.count], node.colour, plural(node.kind))}"
    words = join(node.colour, node.kind)
    return words if node.kind in UNCOUNTABLE else article(words)
