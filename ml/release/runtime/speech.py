"""What the released model says: a caption of an image, answers to questions, word by word."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.release.runtime.predictor import CONFIG, Predictor, Scene
from ml.release.runtime.sessions import Floats, load, read_config
from ml.release.runtime.towers import at_least_one, placed

IMAGE_MEMORY, ANSWER_MEMORY, NEXT_WORD = "image_memory.onnx", "answer_memory.onnx", "next_word.onnx"
CAPTION_TOKENS, ANSWER_TOKENS = 48, 12  # at most, the start included
PAD = 0  # what the tokenizer pads with


class Speaker:
    """Greedy words of the captioner."""

    def __init__(self, predictor: Predictor, common: Path) -> None:
        """Load the captioner's graphs from a folder.

        Raises:
            UserError: a graph is missing or broken.
        """
        self.predictor, self.tokenizer = predictor, predictor.reader.tokenizer
        self.image, self.answer, self.next = load(*(common / name for name in (IMAGE_MEMORY, ANSWER_MEMORY, NEXT_WORD)))
        config = read_config(common / CONFIG)
        self.start, self.end = int(config["start_id"]), int(config["end_id"])
        self.longest = int(config["context_length"])

    def caption(self, scene: Scene) -> str:
        """One sentence about an image."""
        (memory,) = self.image(features=scene.features)
        return self._say(memory, np.ones(memory.shape[:2], bool), CAPTION_TOKENS)[0]

    def answers(self, scene: Scene, questions: Sequence[str]) -> list[str]:
        """An answer to each question, read from where the question points, the proposed masks and the question."""
        predictor, read = self.predictor, self.predictor.reader.read(questions)
        given = placed(at_least_one(scene.masks), scene.size, predictor.side, scene.features.shape[-2:])
        given |= {"features": scene.features, "crops": scene.crops[None]}
        _, grounding = predictor.heads(**given, **read._asdict())
        given["valid"] &= len(scene.masks) > 0
        memory, mask = self.answer(**given, **read._asdict(), grounding=grounding)
        return self._say(memory, mask, ANSWER_TOKENS)

    def _say(self, memory: Floats, mask: NDArray[np.bool_], most: int) -> list[str]:
        """Greedy words over memories `[M, K, d]`; after its end token a row repeats it."""
        ids = np.full((len(memory), 1), self.start, np.int64)
        while ids.shape[1] < min(most, self.longest) and not (ids == self.end).any(1).all():
            (logits,) = self.next(memory=memory, memory_mask=mask, ids=ids)
            done = (ids == self.end).any(1)
            ids = np.concatenate([ids, np.where(done, self.end, logits.argmax(-1))[:, None]], axis=1)
        return [self._text(row.tolist()) for row in ids]

    def _text(self, row: list[int]) -> str:
        row = row[: row.index(self.end)] if self.end in row else row
        return self.tokenizer.decode([i for i in row if i not in (self.start, PAD)])
