"""The learning rate: linear warm-up, then a cosine to zero or halving on a plateau."""

import math
from typing import Any

import torch

PATIENCE = 2  # validations without a better value before a plateau halves the rate


class Schedule:
    """Sets the learning rate of `optimizer` for each step; DeepSpeed steps it and keeps it in its checkpoints."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, lr: float, steps: int, warmup_fraction: float, kind: str
    ) -> None:
        self.optimizer, self.lr, self.steps, self.kind = optimizer, lr, steps, kind
        self.warmup = round(steps * warmup_fraction)
        self.last_step = 0
        self.scale = 1.0
        self.best = -math.inf
        self.waited = 0
        self._apply()

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.kind == "plateau":
            return self.lr * self.scale
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def step(self, *_: Any) -> None:
        """Set the rate of the next step; DeepSpeed calls it after each optimizer step."""
        self.last_step += 1
        self._apply()

    def observe(self, value: float) -> None:
        """Take note of a validation value (higher is better); a plateau halves the rate."""
        self.waited = 0 if value > self.best else self.waited + 1
        self.best = max(self.best, value)
        if self.kind == "plateau" and self.waited >= PATIENCE:
            self.scale, self.waited = self.scale / 2, 0
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rate that is set now, as a list of one: what DeepSpeed reads."""
        return [self.rate(self.last_step)]

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps: the step, and what the plateau has seen."""
        return {"last_step": self.last_step, "scale": self.scale, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, with the rate of its step."""
        self.last_step, self.scale = int(state["last_step"]), float(state["scale"])
        self.best, self.waited = float(state["best"]), int(state["waited"])
        self._apply()

    def _apply(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.last_step)
