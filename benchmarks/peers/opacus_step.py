"""Time Opacus's DP-SGD step as a multiple of PyTorch's plain step; prints one JSON object.

Run by ``benchmarks/dp_sgd_step.py`` with an interpreter that has torch and opacus:

    PYTHON benchmarks/peers/opacus_step.py BATCH REPEATS

The models are those of the calling benchmark. Pixels are random: time does not depend on them.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=3),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    ),
}


def main() -> None:
    warnings.filterwarnings("ignore")
    batch, repeats = int(sys.argv[1]), int(sys.argv[2])
    seconds = {name: times(name, batch, repeats) for name in MODELS}
    multiples = {
        name: {mode: value / modes["plain"] for mode, value in modes.items()}
        for name, modes in seconds.items()
    }
    versions = {name: importlib.metadata.version(name) for name in ("torch", "opacus")}
    result = {"seconds": seconds, "multiple_of_plain": multiples, "versions": versions}
    print(json.dumps(result))


def times(name: str, batch: int, repeats: int) -> dict[str, float]:
    """Return the median seconds of a step in each mode, timed in turns."""
    x, y = torch.rand(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
    steps = {
        "plain": plain_step(name, x, y),
        "hooks": private_step(name, x, y, "hooks"),
        "ghost": private_step(name, x, y, "ghost"),
    }
    found: dict[str, list[float]] = {mode: [] for mode in steps}
    for step in steps.values():
        step()
    for _ in range(repeats):
        for mode, step in steps.items():
            start = time.perf_counter()
            for _ in range(5):
                step()
            found[mode].append((time.perf_counter() - start) / 5)
    return {mode: statistics.median(values) for mode, values in found.items()}


def plain_step(name: str, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return stepper(model, optimizer, nn.CrossEntropyLoss(), x, y)


def private_step(name: str, x: torch.Tensor, y: torch.Tensor, mode: str) -> Callable[[], None]:
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(TensorDataset(x, y), batch_size=len(x))
    made: tuple[Any, ...] = PrivacyEngine().make_private(
        module=model,
        optimizer=optimizer,
        data_loader=loader,
        criterion=nn.CrossEntropyLoss(),
        noise_multiplier=1.1,
        max_grad_norm=1.0,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    criterion = made[2] if mode == "ghost" else nn.CrossEntropyLoss()
    return stepper(made[0], made[1], criterion, x, y)


def stepper(
    model: nn.Module, optimizer: Any, criterion: Any, x: torch.Tensor, y: torch.Tensor
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
