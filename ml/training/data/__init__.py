"""From the training set to batches: samples, augmentation, the sampler that knows where it is. Imports `labeling`."""
