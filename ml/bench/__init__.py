"""Benchmarks: what is claimed to be fast, measured against a named peer in one run. One file a benchmark."""
