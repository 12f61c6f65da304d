"""What training learns from, made from kept masks and the frozen CLIP: captions, queries, relevance, the training set.

Imports `sa1b`, `masks` and below; models are handed in. Inside: `labels` above `queries`, `relevance`, `geometry`,
`language`.
"""
