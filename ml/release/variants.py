"""The folders of `compressed_model`: a variant of the graphs each, and one with what they share."""

VARIANTS = ("fp32", "pruned", "int8")
RELEASED, COMMON = "int8", "common"
REGISTERED = "registered.json"  # beside the released package: name, version, alias, lineage
