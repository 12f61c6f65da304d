"""The assets, a file a part of the line; each calls `ml.pipeline` and shows what the stage reports."""
