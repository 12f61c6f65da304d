"""SAM and CLIP as they come, verified, and what they give of texts.

Imports `labeling.geometry`, `labeling.language`, `models.weights` and `sa1b`.
"""
