"""RefCOCO, RefCOCO+ and RefCOCOg: `refs(<split_by>).p` with `instances.json`, or CSV or JSONL exports of the splits.

Kazemzadeh et al., "ReferItGame", 2014; Yu et al., "Modeling Context in Referring Expressions", 2016.
"""

from pathlib import Path

from ml.errors import UserError
from ml.evaluation.benchmarks.benchmark import Benchmark
from ml.evaluation.benchmarks.referring.exports import exports, read_exports
from ml.evaluation.benchmarks.referring.refs import read_refs

NAMES = ("refcoco", "refcoco+", "refcocog")
SPLIT_BYS = {
    "refcoco": ("unc", "google"),
    "refcoco+": ("unc",),
    "refcocog": ("umd", "google"),
}  # the usual first: it has the plain name


def read_refcoco(folder: Path) -> list[Benchmark]:
    """Those of RefCOCO, RefCOCO+ and RefCOCOg that `folder` holds, in the layout of the `refer` tools or as CSV.

    Raises:
        UserError: none of them is there, one is there twice, or a file is broken as a whole.
    """
    _refuse_two_sources(folder)
    found = [
        read_refs(folder, name, split_by, benchmark_name(name, split_by))
        for name in NAMES
        if (folder / name).is_dir()
        for split_by in _split_bys(folder, name)
    ]
    exported = [
        read_exports(folder, name, split_by, benchmark_name(name, split_by))
        for name in NAMES
        for split_by in SPLIT_BYS[name]
        if exports(folder, name, split_by)
    ]
    if not found and not exported:
        raise UserError(
            f"{folder}: no refcoco/refs(unc).p, refcoco+/refs(unc).p, refcocog/refs(umd).p or export here; "
            "point params.benchmarks.refcoco at the folder that holds them"
        )
    return found + exported


def _refuse_two_sources(folder: Path) -> None:
    """Refs and an export of one benchmark would go by one name, and one would take the other's place."""
    for name in NAMES:
        for split_by in SPLIT_BYS[name]:
            pickled = folder / name / f"refs({split_by}).p"
            exported = exports(folder, name, split_by)
            if exported and pickled.is_file():
                named = benchmark_name(name, split_by)
                raise UserError(f"{pickled} and {exported[0][1]} both hold {named}; expected one: move the other away")


def benchmark_name(name: str, split_by: str) -> str:
    """Of umd refcocog is `refcocog`, of google `refcocog_google`: their splits differ, and so do their scores."""
    return name if split_by == SPLIT_BYS[name][0] else f"{name}_{split_by}"


def _split_bys(folder: Path, name: str) -> list[str]:
    present = [split_by for split_by in SPLIT_BYS[name] if (folder / name / f"refs({split_by}).p").is_file()]
    if not present:
        wanted = " or ".join(f"refs({split_by}).p" for split_by in SPLIT_BYS[name])
        found = ", ".join(sorted(path.name for path in (folder / name).glob("refs*.p"))) or "no refs"
        raise UserError(f"{folder / name}: found {found}, expected {wanted}; add it from the refer data")
    return present
