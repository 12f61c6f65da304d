"""`arrcoc bench NAME`: ours against a named peer, in one run. Imports any room of `ml`."""
