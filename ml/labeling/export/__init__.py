"""The labelled set in formats that others read: COCO's JSON, WebDataset's tars. Imports `masks` and `sa1b`."""
