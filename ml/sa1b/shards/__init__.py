"""A shard's bytes: the tar, its JSONs scanned and checked, the mask index, the masks that are kept. Imports `masks`."""
