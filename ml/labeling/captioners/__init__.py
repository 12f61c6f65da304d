"""Who says what is on a mask: a CoCa, a file made elsewhere, a model behind an OpenAI-compatible endpoint.

Imports `sa1b`, `labeling.geometry` and `labeling.kept`; a captioner serves one shard, and counts what it is not told.
"""
