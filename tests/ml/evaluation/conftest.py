"""Random tiny models and a small benchmark folder: enough to run every code path, whatever the answers.

The folder of the tests is on the path, so that they can import `pretend`.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import SimpleTokenizer
from PIL import Image

from ml.evaluation.predictions.predictor import Crops, Predictor, TorchHeads
from ml.labeling.geometry.eye import Eye
from ml.masks import Masks
from ml.models.arrcoc import ARRCOC, ModelConfig
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam, SamConfig, build_sam, config_json
from ml.models.weights import write_weights
from ml.params import Params
from ml.workspace.settings import preset

sys.path.insert(0, str(Path(__file__).parent))

SIZE = (96, 128)  # height, width of every image
BOXES = [[8, 8, 30, 20], [60, 40, 40, 40], [20, 60, 24, 24]]  # xywh of the three things on each
PHRASES = ["red car", "the car on the left", "blue house above the car"]


@pytest.fixture(scope="session")
def params() -> Params:
    loose = {"points_per_side": 4, "predicted_iou": 0.0, "stability_score": 0.0, "max_proposals": 8, "workers": 1}
    toytown = preset("toytown")
    evaluation = toytown.evaluation.model_copy(update={**loose, "gallery": 3})
    return toytown.model_copy(update={"evaluation": evaluation})


@pytest.fixture(scope="session")
def sam() -> Sam:
    torch.manual_seed(0)
    config = SamConfig("tiny", image_size=128, width=48, depth=1, heads=2, channels=32)
    return Sam(build_sam(config), config)


@pytest.fixture(scope="session")
def clip() -> Clip:
    torch.manual_seed(1)
    tokenizer = SimpleTokenizer()
    text = {"context_length": 16, "vocab_size": tokenizer.vocab_size, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    return Clip(
        build_clip({"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}), tokenizer, [0.5] * 3, [0.5] * 3, Eye(32)
    )


@pytest.fixture(scope="session")
def predictor(sam: Sam, clip: Clip, params: Params) -> Predictor:
    torch.manual_seed(2)
    sizes = params.model.model_copy(update={"dim": 32, "heads": 2})
    # Random towers find anything like anything: a midpoint that is far from their cosines says the same of all.
    labels = params.labels.model_copy(update={"similarity_midpoint": 0.0, "similarity_scale": 0.2})
    model = ARRCOC(ModelConfig.from_backbones(sizes, labels, sam, clip))
    for layers in (model.relevance_head.score, model.relevance_head.trust):  # zeros, until they are trained
        torch.nn.init.normal_(layers[-1].weight, std=0.3)
    return Predictor(sam, Crops(clip, params.labels.crop_margin), TorchHeads(model, clip), params.evaluation)


@pytest.fixture
def weights(predictor: Predictor, tmp_path: Path) -> tuple[Path, Path]:
    """Folders as the stages `backbones` and `multimodal_finetuning` write them."""
    backbones, checkpoint = tmp_path / "backbones", tmp_path / "checkpoint"
    backbones.mkdir()
    digest = write_weights(backbones / "sam.safetensors", predictor.sam.model)
    (backbones / "sam.json").write_text(config_json(predictor.sam.config, digest))
    write_weights(backbones / "clip.safetensors", predictor.heads.texts.clip.model)
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    architecture = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    config = {"architecture": architecture, "merges": None, "mean": [0.5] * 3, "std": [0.5] * 3}
    (backbones / "clip.json").write_text(json.dumps(config))
    predictor.heads.model.save(checkpoint)
    return backbones, checkpoint


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """All benchmarks in their real formats, with a few small images each."""
    root = tmp_path / "raw"
    write_refcoco(root / "refcoco")
    write_flickr30k(root / "flickr30k")
    write_lvis(root / "lvis")
    write_relevance(root / "relevance")
    write_vqa(root / "vqa")
    return {name: root / name for name in ("refcoco", "flickr30k", "lvis", "relevance", "vqa")}


def draw(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((*SIZE, 3), rng.integers(0, 255, 3), np.uint8)
    for x, y, w, h in BOXES:
        image[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def box_masks() -> Masks:
    dense = np.zeros((len(BOXES), *SIZE), bool)
    for i, (x, y, w, h) in enumerate(BOXES):
        dense[i, y : y + h, x : x + w] = True
    return Masks.from_dense(dense)


def write_refcoco(root: Path, images: int = 4) -> None:
    names = [f"COCO_train2014_{i:012d}.jpg" for i in range(images)]
    for i, name in enumerate(names):
        draw(root / "images" / "train2014" / name, i)
    annotations = [
        {"id": 10 * i + a, "image_id": i, "bbox": box, "area": box[2] * box[3], "segmentation": [_polygon(box)]}
        for i in range(images)
        for a, box in enumerate(BOXES)
    ]
    rows = [{"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for i, name in enumerate(names)]
    refs = [
        {
            "ref_id": item["id"],
            "ann_id": item["id"],
            "image_id": item["image_id"],
            "split": "val" if item["image_id"] % 2 else "testA",
            "sentences": [{"sent_id": item["id"], "sent": PHRASES[item["id"] % 10], "tokens": []}],
        }
        for item in annotations
    ]
    (root / "refcoco").mkdir()
    (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    instances = {"images": rows, "annotations": annotations, "categories": []}
    (root / "refcoco" / "instances.json").write_text(json.dumps(instances))


def write_flickr30k(root: Path) -> None:
    draw(root / "flickr30k-images" / "7.jpg", 7)
    for part in ("Sentences", "Annotations"):
        (root / part).mkdir()
    sentence = "[/EN#1/vehicles A red car] under [/EN#2/scene the sky] "
    sentence += "with [/EN#0/notvisual nothing] and [/EN#3/other two balls] ."
    (root / "Sentences" / "7.txt").write_text(sentence + "\n")
    objects = [_xml_object("1", BOXES[0]), _xml_object("3", BOXES[1]), _xml_object("3", BOXES[2])]
    objects.append("<object><name>2</name><scene>1</scene><nobndbox>0</nobndbox></object>")
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
    (root / "Annotations" / "7.xml").write_text(f"<annotation>{size}{''.join(objects)}</annotation>")
    (root / "test.txt").write_text("7\n")


def write_lvis(root: Path) -> None:
    draw(root / "images" / "000000000003.jpg", 3)
    masks = box_masks().to_strings()
    annotations = [
        {
            "id": i + 1,
            "image_id": 3,
            "category_id": 1 + i % 2,
            "bbox": box,
            "area": box[2] * box[3],
            "segmentation": {"size": list(SIZE), "counts": masks[i]},
        }
        for i, box in enumerate(BOXES)
    ]
    image = {
        "id": 3,
        "height": SIZE[0],
        "width": SIZE[1],
        "coco_url": "http://images.cocodataset.org/val2017/000000000003.jpg",
        "neg_category_ids": [3],
        "not_exhaustive_category_ids": [2],
    }
    names = ["car_(automobile)", "ball", "baseball_bat"]
    categories = [{"id": i, "name": name, "frequency": "fcr"[i - 1]} for i, name in enumerate(names, 1)]
    raw = {"images": [image], "annotations": annotations, "categories": categories}
    (root / "lvis_v1_val.json").write_text(json.dumps(raw))


def write_relevance(root: Path) -> None:
    lines = []
    for number in (4, 5):
        draw(root / "images" / f"{number}.jpg", number)
        masks = [
            {"counts": counts, "size": list(SIZE), "level": level, "parent": parent}
            for counts, level, parent in zip(
                box_masks().to_strings(), ["object", "object", "part"], [-1, -1, 1], strict=True
            )
        ]
        queries = [
            {"text": "red car", "kind": "attribute", "relevance": [1.0, 0.1, 0.0]},
            {"text": "the wheel of the car", "kind": "part", "relevance": [0.0, 0.6, 1.0]},
        ]
        lines.append(json.dumps({"file_name": f"{number}.jpg", "image_id": number, "masks": masks, "queries": queries}))
    (root / "relevance_val.jsonl").write_text("\n".join(lines) + "\n")


def write_vqa(root: Path) -> None:
    draw(root / "val2014" / "COCO_val2014_000000000006.jpg", 6)
    texts = {
        "What color is the car?": ["red"] * 8 + ["dark red"] * 2,
        "How many things are there?": ["3"] * 10,
        "Is there a boat?": ["no"] * 10,
    }
    ids = [{"image_id": 6, "question_id": 6000 + n} for n in range(len(texts))]
    asked = [{**row, "question": text} for row, text in zip(ids, texts, strict=True)]
    answered = [
        {
            **row,
            "multiple_choice_answer": said[0],
            "answer_type": kind,
            "answers": [{"answer": answer} for answer in said],
        }
        for row, said, kind in zip(ids, texts.values(), ("other", "number", "yes/no"), strict=True)
    ]
    (root / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": asked}))
    (root / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": answered}))


def _polygon(box: list[int]) -> list[int]:
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def _xml_object(name: str, box: list[int]) -> str:
    corners = dict(
        zip(("xmin", "ymin", "xmax", "ymax"), (box[0], box[1], box[0] + box[2], box[1] + box[3]), strict=True)
    )
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    return f"<object><name>{name}</name><bndbox>{inner}</bndbox></object>"
