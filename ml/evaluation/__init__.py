"""Scores of the model on benchmarks, from an image and a text alone. Imports `training.tracking`, `models` and below.

Inside: `scores` above `pages`, `metrics`, `predictions`, `benchmarks`.
"""
