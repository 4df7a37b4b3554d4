"""PyTorch on files of ours, and files of its own.

    python torch_check.py logits FILE IDS OUT CONFIG    a .pt or .safetensors file, into the reference model, by strict names
    python torch_check.py save FILE FOLDER              the weights of a .safetensors file as CoreNet saves them
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch_files import plain_names, reference, save_tensors, tensors


def logits(path, ids, out, config):
    model = reference(config)
    is_pickle = path.endswith(".pt")
    state = torch.load(path, weights_only=True, mmap=True) if is_pickle else plain_names(tensors(path))
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        values = model(tensors(ids)["ids"].long())
    save_tensors(out, {"logits": values})


def save(path, folder):
    state = OrderedDict(plain_names(tensors(path)))
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
