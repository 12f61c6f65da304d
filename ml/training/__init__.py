"""The four training stages: launch, loop, tasks. Imports `objectives`, `models`, `labeling` and below.

Inside: `main` above `loop` above `tasks` above `engine`, `tracking`, `data`.
"""
