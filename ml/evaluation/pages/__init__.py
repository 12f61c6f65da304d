"""Scores as tables, answers as contact sheets. Imports `metrics` and `predictions`."""
