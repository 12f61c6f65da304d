"""Readers of RefCOCO/+/g, Flickr30k Entities, LVIS, VQA v2, relevance and absence queries, and their index.

Imports `sa1b.reading`.
"""
