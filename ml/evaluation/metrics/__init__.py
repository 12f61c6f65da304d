"""Scores of answers against truth, with their intervals. Imports `predictions` for its files, and `masks`."""
