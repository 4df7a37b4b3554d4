"""Makes the loss curve that our training is held to: packages/goldens/loss-curve/curve.json.

    python3 -m venv venv && venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/loss_curve.py

Trains OpenELM in PyTorch, f32, twice: with one thread and with two. The two differ by the order of sums alone, so
their distance is what rounding does to this training. Everything comes from config.json and tokens.u16 beside the
curve; the weights from a hash of their names, so that every language starts at the same bits.
"""

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "packages" / "goldens" / "loss-curve"
sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))

from openelm_torch import IGNORED, Config, OpenELM, adamw  # noqa: E402


def hashes(name: str, count: int, seed: int) -> np.ndarray:
    """The hash of every element of the array `name`, as packages/goldens/src/fill.ts has it."""
    key = 0x811C9DC5
    for byte in name.encode():
        key = (key ^ byte) * 0x01000193 & 0xFFFFFFFF
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B1) + np.uint64(key ^ seed)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x7FEB352D)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(0x846CA68B)) & mask
    return h ^ (h >> np.uint64(16))


def uniform(name: str, shape: tuple[int, ...], std: float, seed: int) -> torch.Tensor:
    """Numbers with mean 0 and the given deviation, spread evenly; one rounding to f32."""
    units = (2 * (hashes(name, math.prod(shape), seed) >> np.uint64(8)).astype(np.float64) + 1 - 2.0**24) / 2.0**24
    return torch.tensor((0.0 + math.sqrt(3.0) * std * units).astype(np.float32).reshape(shape))


def initial(name: str, shape: tuple[int, ...], config: Config, seed: int) -> torch.Tensor:
    """Norm weights 1, matrices with the deviations of OpenELM's initialization."""
    if len(shape) == 1:
        return torch.ones(shape)
    if name.endswith(("attn.out_proj.weight", "ffn.proj_2.weight")):
        std = 1 / math.sqrt(config.model_dim) / math.sqrt(2 * config.layers)
    else:
        std = 1 / math.sqrt(shape[1])
    return uniform(name, shape, std, seed)


def model_of(settings: dict) -> OpenELM:
    m = settings["model"]
    config = Config(
        vocab_size=m["vocabSize"],
        layers=m["layers"],
        model_dim=m["modelDim"],
        head_dim=m["headDim"],
        heads_per_kv_head=m["headsPerKvHead"],
        attention=tuple(m["attention"]),
        feed_forward=tuple(m["feedForward"]),
        feed_forward_divisor=m["feedForwardDivisor"],
    )
    model = OpenELM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(initial(name, tuple(parameter.shape), config, settings["seed"]))
    return model


def batches_of(settings: dict) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Inputs, targets and documents of every stored batch."""
    rows, length = settings["batch"]["sequences"], settings["batch"]["sequenceLength"]
    start = settings["tokens"]["documentStart"]
    stream = torch.tensor(np.fromfile(FOLDER / "tokens.u16", "<u2").astype(np.int64))
    inputs = stream[:-1].view(-1, rows, length)
    following = stream[1:].view(-1, rows, length)
    targets = torch.where(following == start, IGNORED, following)
    documents = (inputs == start).cumsum(-1)
    return list(zip(inputs, targets, documents, strict=True))


def learning_rate(update: int, settings: dict) -> float:
    """Warmup along a line, then half a cosine whose period is one longer than the updates that are left."""
    highest, lowest = settings["optim"]["lr"], settings["schedule"]["minLr"]
    warmup, first = settings["schedule"]["warmup"], settings["schedule"]["warmupLr"]
    if update < warmup:
        return round(first + update * (highest - first) / warmup, 8)
    progress = (update - warmup) / (settings["steps"] - warmup + 1)
    return round(lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * progress)), 8)


class Training:
    """A run from the beginning, step by step."""

    def __init__(self, settings: dict, **optimizer):
        self.settings = settings
        self.model = model_of(settings)
        self.batches = batches_of(settings)
        o = settings["optim"]
        self.optimizer = adamw(
            self.model, lr=o["lr"], betas=tuple(o["betas"]), eps=o["eps"], weight_decay=o["weightDecay"], **optimizer
        )

    def step(self, update: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(update, self.settings)
        loss = self.model.loss(*self.batches[update % len(self.batches)])
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings["optim"]["clip"])
        self.optimizer.step()
        return loss.item()


def train(settings: dict, threads: int) -> list[float]:
    torch.set_num_threads(threads)
    training = Training(settings)
    began = time.monotonic()
    losses = [training.step(update) for update in range(settings["steps"])]
    print(f"{threads} threads: loss {losses[0]:.4f} to {losses[-1]:.4f}, {time.monotonic() - began:.0f} s", flush=True)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "curve.json")
    out = parser.parse_args().out
    settings = json.loads((FOLDER / "config.json").read_text("utf-8"))
    curves = {f"threads{n}": train(settings, n) for n in (1, 2)}
    spread = max(abs(a - b) for a, b in zip(*curves.values(), strict=True))
    print(f"largest distance of the two {spread:.2e}")
    made_with = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version(), "machine": platform.machine()}
    lists = [f' "{name}": {json.dumps(losses)}' for name, losses in curves.items()]
    out.write_text(",\n".join(["{\n" + f' "madeWith": {json.dumps(made_with)}', *lists]) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
