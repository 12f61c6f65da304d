"""The pages of Dagster and MLflow, served and kept up to date. Imports `orchestration.freshness` and `terminal`."""
