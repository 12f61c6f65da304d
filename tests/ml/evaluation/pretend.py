"""A GPU where there is none: tensors that compute on the processor, but say they are elsewhere and mix with no others.

Elsewhere is torch's device "meta", the only one that asks for no driver. What torch would make there straight from
numbers is made here and moved.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")
MOVES = ("aten::_to_copy", "aten::copy_")
FREE = ("aten::index", "aten::index_put_")  # torch takes their indices from anywhere


class Elsewhere(Tensor):
    """Its numbers are in `held`, on the processor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        tensor = Tensor._make_wrapper_subclass(cls, held.shape, device=ELSEWHERE, **layout)
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Numbers(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") == ELSEWHERE:
            return func(*args, **kwargs | {"device": "cpu"}).to(ELSEWHERE)
        if func is Tensor.__getitem__ and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1], dtype=torch.long))
        return func(*args, **kwargs)


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation on the processor; its result is elsewhere if what it is given or asked for is."""
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    there = [isinstance(tensor, Elsewhere) for tensor in tensors]
    mixed = any(there) and any(tensor.dim() and not far for tensor, far in zip(tensors, there, strict=True))
    name = func._schema.name
    if mixed and name not in MOVES + FREE:
        raise RuntimeError(f"{name}: tensors on two devices")
    wanted = kwargs.get("device")
    far = any(there) if wanted is None else wanted == ELSEWHERE
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = tree_map(lambda value: value.held if isinstance(value, Elsewhere) else value, (args, kwargs))
    found = func(*plain[0], **plain[1])
    if name.endswith("_"):  # in place
        return args[0]
    return tree_map(lambda value: Elsewhere(value) if far and isinstance(value, Tensor) else value, found)


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Yield the device; tensors and modules can be moved there within the block."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with torch.no_grad(), _Operations(), _Numbers():
            yield ELSEWHERE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
