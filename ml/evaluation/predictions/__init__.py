"""Answers to a benchmark's questions: proposals, the predictor, files of answers. Imports `benchmarks`, `models`."""
