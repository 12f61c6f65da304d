"""The four training stages: a task is the model, a loss, and what a batch means to it."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml.labeling.language.words import answer_number
from ml.models.arrcoc import ARRCOC
from ml.models.frozen.sam import Sam
from ml.models.frozen.texts import QueryFeatures, TextBank
from ml.models.grounding import Grounding
from ml.models.regions import Regions
from ml.models.relevance import Judgement
from ml.objectives.bce_dice import bce_dice_loss, bce_loss, dice_loss
from ml.objectives.captioning import captioning_loss, token_loss
from ml.objectives.contrastive import contrastive_loss, same_target
from ml.objectives.counting import counting_loss
from ml.objectives.pointing import anchor_loss, name_loss
from ml.objectives.presence import presence_loss
from ml.objectives.referring import referring_loss
from ml.objectives.relevance import relevance_loss
from ml.objectives.total import total_loss
from ml.objectives.vqa import vqa_loss
from ml.params import Grounding as GroundingParams
from ml.params import Params
from ml.params import Relevance as RelevanceParams
from ml.training import measures
from ml.training.data.batches import FINE, Batch
from ml.training.data.targets import grounding_targets, marked, meant, painted, pointing_targets
from ml.training.measures import Measures

Outcome = tuple[Tensor, dict[str, Tensor], Measures]  # the loss, its terms detached, what validation averages


class Seen(NamedTuple):
    """A batch after the adapter, whose grid is `[B, d, h, w]`, and the region encoder."""

    grid: Tensor
    regions: Regions


class Task(nn.Module, ABC):
    """A training stage. Parts of the model that it does not train are frozen.

    Attributes:
        trains: the parts of the model that learn.
        judged_by: the validation measure that picks the best checkpoint; higher is better.
    """

    trains: ClassVar[tuple[str, ...]]
    judged_by: ClassVar[str] = "relevance_accuracy"

    def __init__(self, model: ARRCOC, texts: TextBank, sam: Sam | None, params: Params) -> None:
        """`sam`: encodes images where features are not cached."""
        super().__init__()
        self.model, self.texts, self.sam, self.params = model, texts, sam, params
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] in self.trains)

    @abstractmethod
    def forward(self, batch: Batch) -> Outcome:
        """The loss of a batch, its terms detached, and what validation averages."""

    def see(self, batch: Batch) -> Seen:
        """The batch's images through the adapter, their regions through the region encoder."""
        features = batch.pixels.float() if self.sam is None else self.sam.encode(batch.pixels)
        grid = self.model.adapt(features)
        return Seen(grid, self.model.regions(grid, batch.coverage, batch.boxes, batch.crops, batch.valid))

    def alignment(self, batch: Batch, seen: Seen) -> tuple[Tensor, Measures]:
        """Contrastive loss of the regions against the CLIP embeddings of their masks."""
        regions = self.model.region_embeddings(seen.regions.features)[batch.valid].float()
        masks = batch.embeddings[batch.valid]
        positives = same_target(masks)
        loss = contrastive_loss(regions, masks, self.model.logit_scale.exp().clamp(max=100), positives)
        return loss, measures.alignment(regions, masks, positives)


class MaskRegionAlignment(Task):
    """Stage 1: regions of the adapted grid against CLIP's view of their masks."""

    trains = ("adapter", "region_encoder", "region_projection", "logit_scale")
    judged_by = "alignment_accuracy"

    def __init__(self, model: ARRCOC, texts: TextBank, sam: Sam | None, params: Params) -> None:
        super().__init__(model, texts, sam, params)
        model.logit_scale.requires_grad_(params.mask_region_alignment.learn_temperature)

    def forward(self, batch: Batch) -> Outcome:
        """Contrastive loss of the regions."""
        loss, measured = self.alignment(batch, self.see(batch))
        return loss, {"alignment": loss.detach()}, measured


class TextRegionGrounding(Task):
    """Stage 2: from a text to the pixels it means. Relevance is read off the grounding map until its head learns."""

    trains = (*MaskRegionAlignment.trains, "grounding_head")
    judged_by = "grounding_iou"  # most pairs are irrelevant: a map that says nothing yet agrees with them best

    def forward(self, batch: Batch) -> Outcome:
        """Mask loss of what is grounded and pointed to; the alignment of the stage before is kept."""
        section, seen = self.params.text_region_grounding, self.see(batch)
        logits, pointed = ground(self.model, seen, self.texts.queries(batch.queries, batch.spoken))
        targets, asked = grounding_targets(batch), present(batch.queries, logits.device)
        grounding = map_loss(logits, targets, batch, asked, section)
        pointing = bce_dice_loss(pointed, pointing_targets(batch), asked.unsqueeze(2))
        alignment, measured = self.alignment(batch, seen)
        loss, terms = total_loss(
            {"grounding": grounding, "pointing": pointing, "alignment": alignment},
            {"grounding": 1.0, "pointing": section.pointing_weight, "alignment": section.alignment_weight},
        )
        scores = mean_inside(logits, seen.regions.coverage)
        measured |= measures.grounding(logits, targets, asked) | measures.relevance(scores, batch, asked)
        return loss, terms, measured


class RelevanceLearning(Task):
    """Stage 3: a score for every mask and query.

    The adapter and the grounding head rest: training them along takes twice the time a step, and the same number of
    steps without gives the same relevance.
    """

    trains = ("region_encoder", "relevance_head")

    def forward(self, batch: Batch) -> Outcome:
        """Relevance loss, and that of what is pointed to."""
        seen, text = self.see(batch), self.texts.queries(batch.queries, batch.spoken)
        judged = judge(self.model, seen, text, self.model.ground(seen.grid, seen.regions, text).pixels)
        asked = present(batch.queries, judged.relevance.device)
        loss, terms = judgement_loss(judged, batch, asked, self.params.relevance_learning)
        scores = torch.sigmoid(judged.relevance)
        measured = measures.relevance(scores, batch, asked) | measures.anchors(judged.anchors, batch.anchors, asked)
        return loss, terms, measured


class MultimodalFinetuning(Task):
    """Stage 4: grounded captions, referring expressions and grounded questions, with grounding and relevance."""

    trains = ("adapter", "grounding_head", *RelevanceLearning.trains, "captioner", "question", "counter")

    def forward(self, batch: Batch) -> Outcome:
        """All losses of the stage, weighted by `loss_weights`."""
        seen = self.see(batch)
        columns = [len(rows[0]) for rows in (batch.queries, batch.phrases, batch.questions)]
        rows = zip(batch.queries, batch.phrases, batch.questions, strict=True)
        texts = [[*queries, *phrases, *questions] for queries, phrases, questions in rows]
        text = self.texts.queries(texts, batch.spoken)
        logits, pointed = ground(self.model, seen, text)
        asked, described, questioned = logits.split(columns, dim=1)
        grounded = Grounding(asked, pointed[:, : columns[0]])
        losses, measured = self.queries(batch, seen, select(text, slice(0, columns[0])), grounded)
        losses["caption"] = self.captions(batch, seen, described)
        losses["vqa"], answered = self.answers(batch, seen, select(text, slice(-columns[2], None)), questioned)
        loss, terms = total_loss(losses, self.params.multimodal_finetuning.loss_weights.model_dump())
        return loss, terms, measured | answered

    def queries(
        self, batch: Batch, seen: Seen, text: QueryFeatures, found: Grounding
    ) -> tuple[dict[str, Tensor], Measures]:
        """Grounding, referring and relevance losses of the queries."""
        grounded, logits = self.params.text_region_grounding, found.pixels
        targets, asked = grounding_targets(batch), present(batch.queries, logits.device)
        judged = judge(self.model, seen, text, logits)
        losses = {
            "grounding": map_loss(logits, targets, batch, asked, grounded)
            + grounded.pointing_weight * bce_dice_loss(found.pointed, pointing_targets(batch), asked.unsqueeze(2)),
            "ref_exp": referring_loss(logits, painted(meant(batch), batch.fine), asked & (batch.targets >= 0)),
            "relevance": judgement_loss(judged, batch, asked, self.params.relevance_learning)[0],
        }
        measured = measures.relevance(torch.sigmoid(judged.relevance), batch, asked)
        return losses, measures.grounding(logits, targets, asked) | measured

    def captions(self, batch: Batch, seen: Seen, logits: Tensor) -> Tensor:
        """The image's caption from its grid; the phrases from their regions, each grounded back to where it fits."""
        pad = self.texts.clip.pad_id
        ids = self.texts.ids(batch.captions)
        whole = self.model.caption(self.model.image_memory(seen.grid), ids[:, :-1]).float()
        regions = batch.phrase_regions @ seen.regions.features / batch.phrase_regions.sum(-1, keepdim=True).clamp_min(1)
        phrases = self.texts.ids([phrase for row in batch.phrases for phrase in row])
        words = self.model.caption(self.model.region_memory(regions), phrases[:, :-1]).float()
        masks = painted(batch.phrase_regions, batch.fine)
        given = present(batch.phrases, logits.device)
        grounded = captioning_loss(words, phrases[:, 1:], pad, logits, masks, given)
        return token_loss(whole, ids[:, 1:], pad) + grounded

    def answers(self, batch: Batch, seen: Seen, text: QueryFeatures, logits: Tensor) -> tuple[Tensor, Measures]:
        """Answers from what each question points to, and the evidence it should point to."""
        pad = self.texts.clip.pad_id
        ids = self.texts.ids([answer for row in batch.answers for answer in row])
        regions = seen.regions._replace(crops=batch.embeddings)  # what is doubted cannot be counted
        read = self.model.answer_memory(seen.grid, regions, text, logits)
        words = self.model.caption(read.memory, ids[:, :-1], read.mask).float()
        given = present(batch.questions, logits.device) & (batch.evidence >= 0)
        section = self.params.multimodal_finetuning
        shown = painted(marked(batch.evidence, batch), batch.fine)
        loss = vqa_loss(words, ids[:, 1:], pad, logits, shown, given, section.evidence_weight)
        loss = loss + section.counting_weight * counting_loss(read.counts.float(), counted(batch, logits.device))
        return loss, measures.answers(words, ids[:, 1:], pad)


TASKS: dict[str, type[Task]] = {
    "mask_region_alignment": MaskRegionAlignment,
    "text_region_grounding": TextRegionGrounding,
    "relevance_learning": RelevanceLearning,
    "multimodal_finetuning": MultimodalFinetuning,
}


def ground(model: ARRCOC, seen: Seen, text: QueryFeatures) -> Grounding:
    """Logits of the grounding head, float32."""
    return Grounding(*(logits.float() for logits in model.ground(seen.grid, seen.regions, text)))


def map_loss(logits: Tensor, targets: Tensor, batch: Batch, asked: Tensor, section: GroundingParams) -> Tensor:
    """Of the pixels of every query, and of the overlap with what is meant where something is.

    Overlap with nothing would weigh a stray pixel as much as a whole mask: the head would learn to say nothing.
    """
    pixels = bce_loss(logits, targets, asked)
    return section.bce_weight * pixels + section.dice_weight * dice_loss(logits, targets, asked & (batch.targets >= 0))


def judge(model: ARRCOC, seen: Seen, text: QueryFeatures, logits: Tensor) -> Judgement:
    """Logits of the relevance head, float32."""
    found = model.relevance(seen.grid, seen.regions, text, logits)
    return Judgement(*(logits.float() for logits in found))


def judgement_loss(
    judged: Judgement, batch: Batch, asked: Tensor, section: RelevanceParams
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of every mask's relevance, of whether anything is meant, and of what is pointed to; and these three detached."""
    valid = batch.valid.unsqueeze(1) & asked.unsqueeze(2)
    weights = (section.mse_weight, section.ranking_weight, section.ranking_margin)
    losses = {
        "relevance": relevance_loss(torch.sigmoid(judged.relevance), batch.relevance, valid, *weights),
        "presence": presence_loss(judged.relevance, batch.relevance, valid),
        "pointing": pointing_loss(judged, batch, asked),
    }
    return total_loss(
        losses, {"relevance": 1.0, "presence": section.presence_weight, "pointing": section.pointing_weight}
    )


def pointing_loss(judged: Judgement, batch: Batch, asked: Tensor) -> Tensor:
    """Of the anchor, and of what the name alone might mean."""
    valid = batch.valid.unsqueeze(1) & asked.unsqueeze(2)
    return anchor_loss(judged.anchors, batch.anchors, asked) + name_loss(judged.named, batch.named, valid)


def mean_inside(logits: Tensor, coverage: Tensor) -> Tensor:
    """Mean probability of logits `[B, Q, 4h, 4w]` inside each mask `[B, N, h, w]`: `[B, Q, N]`."""
    probability = F.avg_pool2d(torch.sigmoid(logits), FINE).flatten(2)
    weights = coverage.flatten(2)
    return probability @ (weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)).transpose(1, 2)


def present(texts: list[list[str]], device: torch.device) -> Tensor:
    """Bool `[B, Q]`: which texts are there, rather than padding."""
    return torch.tensor([[bool(text) for text in row] for row in texts], device=device)


def counted(batch: Batch, device: torch.device) -> Tensor:
    """The number that each answer says, int64 `[B, K]`; -1 where it says none."""
    numbers = [[answer_number(answer) for answer in row] for row in batch.answers]
    return torch.tensor(numbers, device=device)


def select(text: QueryFeatures, columns: slice) -> QueryFeatures:
    """Some of the Q texts of features with leading dimensions `[B, Q]`."""
    return QueryFeatures(*(part[:, columns] for part in (text.tokens, text.pooled, text.mask, text.referents)))
