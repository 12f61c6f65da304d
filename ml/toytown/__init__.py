"""The embedded world: a drawn town whose truth is known, written in the formats of the real data sets."""
