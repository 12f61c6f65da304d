"""All that knows about masks, texts and models.

Rooms import downward only: release, evaluation, training, models, labeling, sa1b, masks; `workspace` and `compute` lie
below them, `pipeline` above. Nothing here imports Dagster.
"""
