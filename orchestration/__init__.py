"""What a person drives: Dagster and the command line; no ML logic lives here.

Imports `ml`, which imports nothing of it.
"""
