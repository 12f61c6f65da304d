"""Scenes: kinds, placing, drawing, what is true of them and how it is said. Imports nothing outside."""
