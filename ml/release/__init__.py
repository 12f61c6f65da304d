"""From the trained model to a released one: pruned, quantized, packaged, registered."""
