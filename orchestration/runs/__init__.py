"""Running what is stale, and the line again without each stage. Imports the Dagster files beside it and `freshness`."""
