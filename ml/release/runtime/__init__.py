"""The released model without PyTorch: numpy and onnxruntime, from pixels and words to masks, captions and answers.

Nothing here imports PyTorch, spaCy, numba or MLflow: it starts in a second, and a test holds that.
"""
