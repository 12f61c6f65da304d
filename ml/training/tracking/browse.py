"""Where the pages of /browse show a stage: what it made, or left out, or is trained on."""

import os

BROWSE_PAGE = "ARRCOC_BROWSE_PAGE"  # names its address, where `arrcoc ui` serves it
TAG = "browse"  # of a run
TRAINED_ON = "page=training"
PAGES = {
    "mask_index": "page=left-out&stage=mask_index",
    "filtered_masks": "page=left-out&stage=filtered_masks",
    "pseudo_labels": "page=training",
    "training_set": "page=training",
    "benchmark_data": "page=left-out&stage=benchmark_data",
    "mask_region_alignment": TRAINED_ON,
    "text_region_grounding": TRAINED_ON,
    "relevance_learning": TRAINED_ON,
    "multimodal_finetuning": TRAINED_ON,
    "benchmark_scores": "page=benchmarks",
}


def address(stage: str) -> str | None:
    """The page of a stage, as it is served now; None where it has none, or none is served."""
    page = os.environ.get(BROWSE_PAGE)
    return f"{page}/browse#{PAGES[stage]}" if page and stage in PAGES else None


def told(stage: str) -> dict[str, str]:
    """The tag of a run that says where its stage is shown, without an address where none is known; {}: nowhere."""
    return {TAG: address(stage) or f"arrcoc ui, /browse#{PAGES[stage]}"} if stage in PAGES else {}
