"""Tensors in files for the checks of PyTorch, and the reference model that they go into."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks/peers"))
from openelm_torch import Config, OpenELM  # noqa: E402

DTYPES = {"F32": np.float32, "I32": np.int32, "F16": np.float16}


def tensors(path):
    """The tensors of a safetensors file, without a library for it."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[first:last], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        found[name] = torch.from_numpy(values.copy())
    return found


def save_tensors(path, tensors):
    """Writes tensors by name as f32."""
    header, parts, end = {}, [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().numpy().astype(np.float32)
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [end, end + values.nbytes]}
        parts.append(values.tobytes())
        end += values.nbytes
    text = json.dumps(header).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def plain_names(state):
    """Without what the Hugging Face port puts in front."""
    return {name.removeprefix("transformer."): value for name, value in state.items()}


def reference(config):
    """The reference model, of a configuration in JSON."""
    config = json.loads(config)
    shapes = [tuple(shape) for shape in config.pop("shapes")]
    return OpenELM(Config(**config), shapes)
