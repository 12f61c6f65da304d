"""Benchmarks, predictions from image and text alone, and scores."""
