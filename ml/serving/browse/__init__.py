"""What a workspace holds, as pages: its training set, what was left out, its benchmarks. Reads Parquet where it lies.

`routes` stands in every server; the readers need pyarrow, which a server of a package alone lacks, and are imported
only where there is something to read.
"""
