"""The embedded world: drawn scenes, their files in real formats, the backbones pretrained on it.

Imports `labeling`, `models` and below; nothing below knows it, but the stages that draw it.
"""
