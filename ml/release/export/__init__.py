"""The model as ONNX graphs and the few files beside them: what a process without PyTorch answers with."""
