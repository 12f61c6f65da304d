"""Scenes as files in the formats of SA-1B, RefCOCO/+/g, Flickr30k Entities, LVIS, VQA v2. Imports `toytown.world`."""
