"""The graphs made smaller, and what that costs: pruned, quantized, measured."""
