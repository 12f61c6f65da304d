"""ARR-COC: from SA-1B shards to a released text-conditioned spatial-relevance model."""
