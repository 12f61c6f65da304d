"""The workspace's Dagster instance: opened, refused where it is another workspace's, rid of runs that nobody runs.

Imports `orchestration.freshness` and `ml`. Inside: `opened` above all, then `owner`; `ghosts` by itself.
"""
