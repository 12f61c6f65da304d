"""What the multimodal model says: a caption of an image, answers to questions. It sees image and question only."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ml.evaluation.predictions.predictor import Scene, TorchHeads, at_least_one
from ml.masks import Frame
from ml.models.regions import Regions

CAPTION_TOKENS, ANSWER_TOKENS = 48, 12  # at most, the start included


class Speaker:
    """Greedy words of ARR-COC's captioner."""

    def __init__(self, heads: TorchHeads, side: int) -> None:
        """`side`: of SAM's frame in pixels."""
        self.model, self.texts, self.side = heads.model, heads.texts, side

    @torch.no_grad()
    def caption(self, scene: Scene) -> str:
        """One sentence about an image, read from its grid."""
        memory = self.model.image_memory(self.model.adapt(scene.features))
        return self._words(self.model.generate(memory, CAPTION_TOKENS))[0]

    @torch.no_grad()
    def answers(self, scene: Scene, questions: Sequence[str]) -> list[str]:
        """An answer to each question, read from where the question points, the proposed masks and the question."""
        grid = self.model.adapt(scene.features)
        regions = self._regions(scene, grid)
        asked = self.texts.queries([questions])
        evidence = self.model.ground(grid, regions, asked).pixels
        read = self.model.answer_memory(grid, regions, asked, evidence)
        return self._words(self.model.generate(read.memory, ANSWER_TOKENS, read.mask))

    def _regions(self, scene: Scene, grid: Tensor) -> Regions:
        """The proposals `[1, N]`; without any, one empty region that is not valid."""
        found = scene.proposals.masks
        masks = at_least_one(found)
        frame = Frame(None, False, self.side)
        h, w = grid.shape[-2:]
        coverage = torch.from_numpy(masks.coverage((h, w), frame))[None].to(grid.device)
        boxes = torch.from_numpy(frame.boxes(masks.coco_boxes(), scene.size)).float()[None].to(grid.device)
        valid = torch.full((1, len(masks)), len(found) > 0, device=grid.device)
        return self.model.regions(grid, coverage, boxes, scene.crops[None].to(grid.device), valid)

    def _words(self, ids: Tensor) -> list[str]:
        return [self.texts.clip.detokenize(row) for row in ids.cpu()]
