"""SA-1B as it comes: where shards are had from, what they hold, and how an image and its masks are read.

Imports `masks`, `compute` and `workspace`. Inside: `sources` and `reading` above `shards`, `sharding` above all.
"""
