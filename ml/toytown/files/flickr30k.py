"""Flickr30k Entities of the town: five sentences an image with their phrases marked, and the boxes these refer to.

Split `ways` speaks in the grammar of real captions; the types of its phrases tell which grammar each shows.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ml.params import Params
from ml.toytown.files.annotations import write_jpeg
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.kinds import KINDS
from ml.toytown.world.meaning import Meaning
from ml.toytown.world.retold import retell
from ml.toytown.world.scene import SIDE, random_for, scene
from ml.toytown.world.sentences import Chunk, Sentence, sentence

SPLITS = ("train", "val", "test", "ways")
TRAIN_IMAGES = 2  # the town trains on shards; the list is there since the real one has it
SENTENCES = 5

Entities = dict[tuple[int, ...], int]  # nodes -> entity id
Teller = Callable[[Meaning, np.random.Generator], Sentence]


def write_flickr30k(folder: Path, params: Params) -> None:
    """Write `params.toytown.flickr30k_images` images a split (of `ways` half) as Flickr30k Entities under `folder`."""
    for part in ("Sentences", "Annotations", "flickr30k-images"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    first, entity = 1, 1
    for split in SPLITS:
        many = params.toytown.flickr30k_images
        images = {"train": TRAIN_IMAGES, "ways": -(-many // 2)}.get(split, many)
        names = [str(number) for number in range(first, first + images)]
        for index, name in enumerate(names):
            drawing = draw(scene(params.seed, index, f"flickr30k/{split}"))
            entity = _write_image(folder, name, drawing, retell if split == "ways" else sentence, entity)
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        first += images


def _write_image(folder: Path, name: str, drawing: Drawing, tell: Teller, first: int) -> int:
    """Write an image with its sentences and boxes; the next free entity id."""
    town, rng = Meaning(drawing), random_for(f"{drawing.scene.key}/sentences")
    entities: Entities = {}
    lines = [_line(town, tell(town, rng), entities, first) for _ in range(SENTENCES)]
    write_jpeg(folder / "flickr30k-images" / f"{name}.jpg", drawing)
    (folder / "Sentences" / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    xml = _xml(name, drawing, entities)
    (folder / "Annotations" / f"{name}.xml").write_text(xml, encoding="utf-8")
    return first + len(entities)


def _line(town: Meaning, said: Sentence, entities: Entities, first: int) -> str:
    """A caption as Flickr30k Entities marks it: "[/EN#3/vehicles A red car] left of [/EN#4/other a blue house] ."."""
    for chunk in said:
        if chunk.nodes:
            entities.setdefault(chunk.nodes, first + len(entities))
    words = [_marked(town, chunk, entities) for chunk in said]
    opening = said[0].text[0].upper() + said[0].text[1:]
    return " ".join([words[0].replace(said[0].text, opening), *words[1:], "."])


def _marked(town: Meaning, chunk: Chunk, entities: Entities) -> str:
    if not chunk.nodes:
        return chunk.text
    kind = KINDS.get(town.drawing.scene.nodes[chunk.nodes[0]].kind)
    told = chunk.grammar or (kind.flickr_type if kind else "scene")
    return f"[/EN#{entities[chunk.nodes]}/{told} {chunk.text}]"


def _xml(name: str, drawing: Drawing, entities: Entities) -> str:
    objects = [_object(entity, drawing.boxes[node]) for nodes, entity in entities.items() for node in nodes]
    size = f"<width>{SIDE}</width>\n\t\t<height>{SIDE}</height>\n\t\t<depth>3</depth>"
    return (
        f"<annotation>\n\t<filename>{name}.jpg</filename>\n\t<size>\n\t\t{size}\n\t</size>\n"
        + "".join(objects)
        + "</annotation>"
    )


def _object(entity: int, box: np.ndarray) -> str:
    edges = zip(("xmin", "ymin", "xmax", "ymax"), box.astype(int), strict=True)
    lines = "".join(f"\t\t\t<{edge}>{value}</{edge}>\n" for edge, value in edges)
    return f"\t<object>\n\t\t<name>{entity}</name>\n\t\t<bndbox>\n{lines}\t\t</bndbox>\n\t</object>\n"
