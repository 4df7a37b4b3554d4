"""PyTorch on files of ours, and files of its own.

    python torch_check.py logits FILE IDS OUT CONFIG    a .pt or .safetensors file, into the reference model, by strict names
    python torch_check.py save FILE FOLDER              the weights of a .safetensors file as CoreNet saves them
"""

import json
import sys
from collections import OrderedDict
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


def save_tensor(path, name, values):
    values = values.numpy().astype(np.float32)
    entry = {"dtype": "F32", "shape": values.shape, "data_offsets": [0, values.nbytes]}
    header = json.dumps({name: entry}).encode()
    Path(path).write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())


def logits(path, ids, out, config):
    config = json.loads(config)
    shapes = [tuple(shape) for shape in config.pop("shapes")]
    model = OpenELM(Config(**config), shapes)
    if path.endswith(".pt"):
        state = torch.load(path, weights_only=True, mmap=True)
    else:
        state = {name.removeprefix("transformer."): value for name, value in tensors(path).items()}
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        values = model(tensors(ids)["ids"].long())
    save_tensor(out, "logits", values)


def save(path, folder):
    state = OrderedDict((name.removeprefix("transformer."), value) for name, value in tensors(path).items())
    folder = Path(folder)
    torch.save(state, folder / "checkpoint_average.pt")
    torch.save(OrderedDict((n, v.bfloat16()) for n, v in state.items()), folder / "bf16.pt")
    parameters = [torch.nn.Parameter(value.clone()) for value in state.values()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    checkpoint = {
        "iterations": 5000,
        "epoch": 1,
        "model_state_dict": OrderedDict((n, 2 * v) for n, v in state.items()),
        "optim_state_dict": optimizer.state_dict(),
        "best_metric": np.float64(2.5),
        "is_interval_ckpt": True,
        "gradient_scaler_state_dict": torch.amp.GradScaler("cpu").state_dict(),
        "ema_state_dict": state,
    }
    torch.save(checkpoint, folder / "training_checkpoint_last.pt")

    class Exploit:
        def __reduce__(self):
            return (open, (str(folder / "executed"), "w"))

    torch.save({"model_state_dict": state, "extra": Exploit()}, folder / "hostile.pt")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"logits": logits, "save": save}[command](*arguments)
