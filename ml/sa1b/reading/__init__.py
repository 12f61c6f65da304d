"""An image out of a shard: JPEG bytes at their offset, frames, fingerprints, the ARR-COC sample; values out of texts.

Imports `masks`, and `sa1b.sources` for shards that lie in S3.
"""
