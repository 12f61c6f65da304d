"""Whether this machine and workspace are fit for a run: `arrcoc doctor`, and what `arrcoc run` looks at first.

Imports `orchestration.freshness` and `ml`. Inside: `checkup` above all, `finding` below.
"""
