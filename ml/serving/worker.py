"""What a worker does: it keeps pictures that it has seen, and answers a batch of requests picture by picture."""

import base64
import hashlib
import io
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi.responses import JSONResponse
from PIL import Image

from ml.errors import UserError
from ml.release.runtime.pictures import decode_image
from ml.release.runtime.predictor import Scene, found
from ml.serving.asking import Asked
from ml.serving.limits import Limits
from ml.serving.released import Released

BATCH = 16  # requests answered together
PATIENCE = 0.002  # seconds that a batch waits to fill
log = logging.getLogger("arrcoc.serve")


class Worker:
    """Answers `Asked` with a JSON response, its errors too."""

    def __init__(self, package: Path, limits: Limits) -> None:
        """Load the package, and answer once: the first answer is the slowest.

        Raises:
            UserError: it is missing or broken.
        """
        self.limits, self.released = limits, Released(package)
        self.scenes: OrderedDict[str, Scene] = OrderedDict()
        self.released.predictor.predict(np.zeros((64, 64, 3), np.uint8), ["a thing"])

    def answer(self, batch: Sequence[Asked]) -> list[JSONResponse]:
        """Answer a batch; questions to one picture are asked together."""
        self._follow()
        members: dict[str, list[int]] = {}
        for i, asked in enumerate(batch):
            members.setdefault(hashlib.sha256(asked.image).hexdigest(), []).append(i)
        out: dict[int, JSONResponse] = {}
        for digest, same in members.items():
            out |= dict(zip(same, self._answered(digest, [batch[i] for i in same]), strict=True))
        return [out[i] for i in range(len(batch))]

    def _follow(self) -> None:
        """Take up what has been released since; if that can't be read, what is loaded goes on."""
        try:
            if self.released.stale:
                self.released.load()
                self.scenes.clear()
        except UserError as error:
            log.error("the new release is not served: %s", error)

    def _answered(self, digest: str, batch: Sequence[Asked]) -> list[JSONResponse]:
        try:
            scene = self._scene(digest, batch[0].image)
        except UserError as error:
            return [JSONResponse({"error": f"image: {error}"}, 422)] * len(batch)
        finding = [asked for asked in batch if asked.kind == "find"]
        texts = list(dict.fromkeys(query for asked in finding for query in asked.queries))
        answers = self.released.predictor.answer(scene, texts) if texts else None
        told = []
        for asked in batch:
            if asked.kind == "find":
                each = [self._found(scene, answers, texts, query, asked.heat_map) for query in asked.queries]
                told.append({"answers": each})
            else:
                told.append(self._said(scene, asked))
        return [JSONResponse({"model": self.released.model, "size": list(scene.size), **each}) for each in told]

    def _scene(self, digest: str, image: bytes) -> Scene:
        """A picture encoded, or remembered."""
        if digest not in self.scenes:
            self.scenes[digest] = self.released.predictor.look(decode_image(image))
        self.scenes.move_to_end(digest)
        while len(self.scenes) > self.limits.pictures:
            self.scenes.popitem(last=False)
        return self.scenes[digest]

    def _found(self, scene: Scene, answers: Any, texts: Sequence[str], query: str, heat_map: bool) -> dict[str, Any]:
        at = texts.index(query)
        told = found(scene, answers, texts, at)
        return told | ({"heat_map": png(answers.maps[at], scene.size)} if heat_map else {})

    def _said(self, scene: Scene, asked: Asked) -> dict[str, Any]:
        """A caption, or answers to questions with the mask that they are read from."""
        if asked.kind == "caption":
            return {"caption": self.released.speaker.caption(scene)}
        said = self.released.speaker.answers(scene, asked.queries)
        pointed = self.released.predictor.answer(scene, asked.queries)
        rows = []
        for i, (question, answer) in enumerate(zip(asked.queries, said, strict=True)):
            evidence = found(scene, pointed, asked.queries, i, most=1)["masks"]
            row = {"query": question, "answer": answer, "evidence": evidence[0] if evidence else None}
            rows.append(row | ({"heat_map": png(pointed.maps[i], scene.size)} if asked.heat_map else {}))
        return {"answers": rows}


def png(heat: np.ndarray, size: tuple[int, int]) -> str:
    """A map `[h, w]` in [0, 1] at the picture's size, as a grey PNG in base64."""
    full = cv2.resize(heat, size[::-1], interpolation=cv2.INTER_LINEAR)
    file = io.BytesIO()
    Image.fromarray((full.clip(0, 1) * 255).round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
