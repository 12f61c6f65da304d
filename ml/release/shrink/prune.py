"""Magnitude pruning: the weights that matter least become zero."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

Module = TypeVar("Module", bound=nn.Module)


def prune(model: Module, sparsity: float, structured: bool) -> Module:
    """A copy of `model` with the share `sparsity` of its Linear and Conv2d weights set to zero.

    Unstructured: the smallest magnitudes over all layers together (Han et al., 2015). Structured: in each layer
    the output channels of least L2 norm (Li et al., 2017). Biases, norms and embeddings are left alone.
    """
    pruned = copy.deepcopy(model)
    layers = [(layer, "weight") for layer in pruned.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if structured:
        for layer, name in layers:
            torch_prune.ln_structured(layer, name, amount=sparsity, n=2, dim=0)
    else:
        torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=sparsity)
    for layer, name in layers:
        torch_prune.remove(layer, name)
    return pruned


def sparsity_of(model: nn.Module) -> float:
    """The share of zeros among the Linear and Conv2d weights, in [0, 1]."""
    weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    zeros = sum(int(torch.count_nonzero(weight == 0)) for weight in weights)
    return zeros / max(1, sum(weight.numel() for weight in weights))
