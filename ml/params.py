"""The typed model of `params.yaml`: every knob, as there in one file. `ml.workspace.settings` reads it."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MOST = 2**31 - 1  # what every library below takes for a count


def _like(pattern: str, wanted: str) -> AfterValidator:
    """Texts that match as a whole; of others it is said what is wanted."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(wanted)
        return text

    return AfterValidator(check)


Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[int, Field(gt=0, le=MOST)]
PositiveFloat = Annotated[float, Field(gt=0)]
Steps = Count  # of a training stage; 0: it hands on the model it got
NonNegative = Annotated[float, Field(ge=0)]
# What MLflow itself refuses, and `?` and control characters, which are lost in `models:/NAME@ALIAS`.
ModelName = Annotated[
    str, _like(r"(?=.*\S)[^/:.%\"'?\0-\x1f\x7f]{1,256}", "1 to 256 characters are wanted, none of / : . % ? \" '")
]
Alias = Annotated[
    str,
    _like(r"(?!(?i:latest|v\d+)$)[\w-]{1,255}", "letters, digits, _ and - are wanted, but not latest or v1, v2 ..."),
]
CaptionFile = Annotated[
    str,
    _like(
        r"(?!.*(^|/)\.\.?(/|$))(?!.*//)[^\0-\x1f\x7f${}]*[^\0-\x1f\x7f${}/]",
        "a path of a file is wanted, without . or .. or // in it, $ or braces",
    ),
]
Experiment = Annotated[str, _like(r"(?=.*\S)[^\0-\x1f\x7f]{1,500}", "a name of 1 to 500 characters is wanted")]
StoreUri = Annotated[
    str,
    _like(
        r"https?://[^/\s]\S*|(postgresql|mysql|mssql)(\+\w+)?://\S+|sqlite(\+\w+)?:////.*[^/]|databricks(://\S+)?",
        "an address with http(s), postgresql, mysql, mssql or databricks is wanted, or of a file: "
        "give an absolute path: sqlite:////path/to/mlflow.db",
    ),
]


class Section(BaseModel):
    """A section of `params.yaml`: unknown keys are refused, values are never coerced from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Shards(Section):
    """Where the shards come from. `source`: toytown, a links file, an http(s):// base, s3://bucket/prefix, a folder."""

    source: str
    count: Positive | None  # None: every shard the source lists
    checksums: str | None  # a file of `md5  name` lines to verify against
    group_size: Annotated[int, Field(ge=1, le=99)]  # Dagster compares data versions of at most 99 upstream partitions
    workers: Positive
    retries: Count
    pool: Literal["local", "ray"]  # `local`: processes of this machine; where RAY_ADDRESS is set, Ray in any case


class Toytown(Section):
    """The embedded world: how many scenes are drawn, and for what."""

    images_per_shard: Positive
    refcoco_images: Positive  # per split (val, testA, testB, heldout, ways)
    flickr30k_images: Positive  # per split (val, test)
    lvis_images: Positive
    relevance_images: Positive
    vqa_images: Positive
    absence_images: Positive


class Quality(Section):
    """When a stage gives up on its input."""

    max_reject_fraction: Fraction


class Filter(Section):
    """Which masks are kept. 0.88 and 0.95 are the thresholds SA-1B itself was generated with."""

    predicted_iou: NonNegative
    stability_score: NonNegative
    min_area_fraction: Fraction
    max_area_fraction: Fraction
    duplicate_iou: Fraction
    max_masks_per_image: Positive
    hierarchy: Literal["containment", "area_quartiles"]
    containment: Fraction


class Sam(Section):
    """The frozen SAM. `checkpoint`: `toytown` (ships with the package), a path, or an https:// address."""

    model_type: Literal["tiny", "vit_b", "vit_l", "vit_h"]
    checkpoint: str
    sha256: str | None


class Clip(Section):
    """The frozen CLIP or CoCa. `pretrained`: `toytown`, an open_clip tag, a path, or an https:// address."""

    model_name: str
    pretrained: str
    sha256: str | None
    captioner_name: str | None  # an open_clip CoCa for captions; None: `model_name` is itself a CoCa
    captioner_pretrained: str | None
    captioner_sha256: str | None


class Backbones(Section):
    """The frozen models."""

    sam: Sam
    clip: Clip


class OpenAi(Section):
    """What a model behind `endpoint` is asked about each mask, and about each image. All of it counts for labels."""

    model: Annotated[str, Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1)]  # goes with the crop of a mask
    image_prompt: Annotated[str, Field(min_length=1)]  # goes with the whole image
    temperature: NonNegative
    max_tokens: Positive  # of an answer; one that does not end there is no caption
    drawing: Literal[
        "outline", "dim", "none"
    ]  # the mask in its crop: outlined in red, its surroundings dimmed, nothing
    crop_margin: NonNegative  # context around a mask's box, in its longer sides
    crop_size: Annotated[int, Field(ge=32, le=4096)]  # pixels of the longer side


class Labels(Section):
    """Pseudo-labels: captions, phrases, spatial queries, and relevance from CLIP similarity."""

    captioner: Literal["clip", "file", "openai"]
    caption_file: CaptionFile  # Parquet or JSON lines of image_id, mask_id, text
    openai: OpenAi
    language: Annotated[str, Field(min_length=1)]  # the spaCy model that captions and queries are read with
    max_regions: Positive  # phrases an image
    spatial_queries: Count  # relation and superlative queries an image
    placed_queries: Count  # in people's own words of place, an image
    absent_queries: Count  # of things that are not there, an image
    questions: Count  # an image
    crop_margin: NonNegative  # context around a mask's box, in box sizes
    relation_margin: Fraction  # least distance of two centres, in image sides, for left of, right of, above, below
    similarity_midpoint: Annotated[float, Field(ge=-1, le=1)]  # the cosine that maps to relevance 0.5
    similarity_scale: PositiveFloat  # cosine distance from there to relevance 0.73 (one logit)
    least_agreement: Fraction  # of described masks, those nearer to their own name than to another's: 0.5 is chance
    batch_size: Positive


class Endpoint(Section):
    """A server with OpenAI's interface, for `labels.captioner: openai`. Nothing here makes labels stale."""

    url: Annotated[str, _like(r"https?://[^/\s]\S*", "an http(s) address is wanted, as http://127.0.0.1:8000/v1")]
    parallel: Annotated[int, Field(ge=1, le=1024)]  # questions at a time, of each of `shards.workers`
    retries: Count
    timeout: PositiveFloat  # seconds from a question to the end of its answer
    prompt_price: NonNegative  # of a million tokens, in any currency; 0: not known
    completion_price: NonNegative


class Features(Section):
    """Cached encoder outputs. `flip`: also of the mirrored image, so that flips need no encoder."""

    flip: bool
    batch_size: Positive


class TrainingSet(Section):
    """Which labelled images are trained on, validated with, and left out."""

    validation_fraction: Fraction
    decontaminate: bool  # leave out images that are copies of a benchmark's


class Benchmarks(Section):
    """Benchmark folders as distributed, or `toytown`. `None` leaves a benchmark out."""

    refcoco: str | None
    flickr30k: str | None
    lvis: str | None
    relevance: str | None
    vqa: str | None
    absence: str | None


class Model(Section):
    """Sizes of the trained part."""

    dim: Positive
    heads: Positive
    grounding_layers: Positive
    relevance_layers: Positive
    captioner_layers: Positive
    dropout: Fraction
    frozen_similarity: bool  # both heads start from CLIP's similarity of crop and name, as a residual of their logits


class Augment(Section):
    """Flips are the only augmentation that cached features allow; the others run the encoder again."""

    flip: Fraction  # probability
    crop_scale: Annotated[list[Fraction], Field(min_length=2, max_length=2)]  # area range of a random crop
    # brightness, contrast, saturation, hue
    color_jitter: Annotated[list[NonNegative], Field(min_length=4, max_length=4)]


class Training(Section):
    """The engine, shared by the four training stages."""

    launcher: Literal["deepspeed", "slurm"]
    processes: Positive
    hostfile: str | None  # several hosts: DeepSpeed's hostfile
    zero_stage: Literal[0, 1, 2, 3]
    precision: Literal["fp32", "bf16"]
    global_batch: Positive  # images a step, over all processes: with `batch_size`, what decides the outcome
    batch_size: Positive  # images a process sees at a time, a micro-batch: the losses are means over it
    queries_per_image: Positive
    absent: Fraction  # of these, of things that are not there
    regions_per_image: Positive
    cached_features: bool
    augment: Augment
    weight_decay: NonNegative
    grad_clip: PositiveFloat
    warmup_fraction: Fraction
    schedule: Literal["cosine", "plateau"]
    loader_workers: Count
    log_interval: Positive
    validations: Positive  # a stage; each may become the best checkpoint and is a point to resume from

    @property
    def accumulation(self) -> int:
        """Micro-batches that each process sees in a step."""
        return self.global_batch // (self.batch_size * self.processes)

    @model_validator(mode="after")
    def _deals_evenly(self) -> Self:
        if self.global_batch % (self.batch_size * self.processes):
            raise ValueError(
                f"global_batch {self.global_batch} is {self.global_batch / self.batch_size:g} micro-batches of "
                f"batch_size {self.batch_size}, which {self.processes} processes cannot share evenly; "
                "set processes to a divisor of their number, or another global_batch, which changes the outcome"
            )
        return self


class Slurm(Section):
    """The job that a training stage is where `training.launcher` is slurm; `training.processes` are its tasks."""

    partition: str | None
    account: str | None
    time: str | None  # as sbatch takes it, "4:00:00"; a stage that takes longer is requeued and goes on
    nodes: Positive | None
    cpus_per_task: Positive | None
    gpus_per_task: Count
    grace: Positive  # seconds before the end of `time` at which it saves
    restarts: Count  # at most, for time that is up or a node that is lost
    options: list[str]  # of sbatch, any others: ["--qos=long", "--constraint=a100"]


class Alignment(Section):
    """Stage 1: regions against CLIP's view of their masks. `temperature`: of the contrastive loss, to start from."""

    steps: Steps
    lr: PositiveFloat
    temperature: PositiveFloat
    learn_temperature: bool


class Grounding(Section):
    """Stage 2: from a text to the pixels it means. The weights are of the terms of its loss."""

    steps: Steps
    lr: PositiveFloat
    bce_weight: NonNegative
    dice_weight: NonNegative
    pointing_weight: NonNegative
    alignment_weight: NonNegative  # keeps the alignment of the stage before


class Relevance(Section):
    """Stage 3: a score for every mask and query. `ranking_margin`: by which a more relevant mask must score higher."""

    steps: Steps
    lr: PositiveFloat
    mse_weight: NonNegative
    ranking_weight: NonNegative
    ranking_margin: NonNegative
    presence_weight: NonNegative  # of whether anything is meant
    pointing_weight: NonNegative


class LossWeights(Section):
    """Weights of the tasks in the loss of stage 4."""

    grounding: NonNegative
    caption: NonNegative
    ref_exp: NonNegative
    vqa: NonNegative
    relevance: NonNegative


class Multimodal(Section):
    """Stage 4: captions, referring expressions and questions. `evidence_weight`: of what an answer should point to."""

    steps: Steps
    lr: PositiveFloat
    evidence_weight: NonNegative
    counting_weight: NonNegative  # of the number that is counted
    loss_weights: LossWeights


class Edges(Section):
    """How proposals are brought to the picture's edges; see `ml.masks.edges`."""

    radius: Positive  # cells of the mask decoder, to either side
    variance: Annotated[float, Field(gt=0)]  # of colours in [0, 1], below which a window is plain


class Evaluation(Section):
    """How masks are proposed and ranked, in benchmarks and in the released model, and how benchmarks are run."""

    points_per_side: Positive  # of the automatic mask generator's grid
    max_points: Positive  # of that grid's points, those at which the image differs most
    predicted_iou: NonNegative
    stability_score: NonNegative
    duplicate_iou: Fraction  # proposals that overlap a better one by more are dropped
    max_proposals: Positive
    edges: Edges | None = None  # None: masks are drawn as SAM draws them
    grounding_weight: NonNegative  # of the grounding map against the relevance head where masks are ranked
    gallery: Positive  # answers on a contact sheet
    workers: Positive


class Milestones(Section):
    """Goals in percent."""

    grounding: NonNegative
    relevance: NonNegative
    refcoco: NonNegative
    flickr30k: NonNegative


class Compression(Section):
    """How the heads are pruned, and all variants measured. `structured`: whole output channels are pruned."""

    sparsity: Fraction  # of the weights pruned
    structured: bool
    images: Positive  # on which fp32, pruned and int8 are scored
    latency_runs: Positive


class Release(Section):
    """The name and alias that a model is registered under, and the gate before it."""

    model_name: ModelName
    alias: Alias
    max_drop: NonNegative  # points between fp32 and int8


class Tracking(Section):
    """`uri` None: the embedded store under `mlflow/`."""

    uri: StoreUri | None
    experiment: Experiment


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]  # NumPy takes no more
    shards: Shards
    toytown: Toytown
    quality: Quality
    filter: Filter
    backbones: Backbones
    labels: Labels
    endpoint: Endpoint
    features: Features
    training_set: TrainingSet
    benchmarks: Benchmarks
    model: Model
    training: Training
    slurm: Slurm
    mask_region_alignment: Alignment
    text_region_grounding: Grounding
    relevance_learning: Relevance
    multimodal_finetuning: Multimodal
    evaluation: Evaluation
    milestones: Milestones
    compression: Compression
    release: Release
    tracking: Tracking
