"""Dagster: the stages as assets, their partitions, checks and freshness. No ML logic lives here."""
