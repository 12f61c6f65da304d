"""The released model behind HTTP: pictures and questions in, boxes and masks out. No PyTorch, MLflow or Dagster.

Inside `browse`: the pages of what a workspace holds.
"""
