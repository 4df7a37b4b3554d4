"""The losses of PyTorch's first training steps, from given weights and batches: a request as JSON in, a list out."""
import json
import struct
import sys

import torch
import torch.nn.functional as F
from openelm_torch import adamw
from torch import nn
from torch_models import language_model

request = json.loads(sys.argv[1])
device, steps, batch, time = (request[key] for key in ("device", "steps", "batch", "time"))
rule_of = request["optimizer"]
torch.set_default_device(device)


def read_safetensors(path):
    """Names and f32 tensors of a file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        tensors[name] = torch.frombuffer(data[begin:end], dtype=torch.float32).reshape(entry["shape"]).to(device)
    return tensors


net = language_model(request["model"])
net.load_state_dict(read_safetensors(request["weights"]))
rule = adamw(
    net,
    lr=rule_of["lr"],
    betas=tuple(rule_of["betas"]),
    eps=rule_of["eps"],
    weight_decay=rule_of["weightDecay"],
    fused=True,
)
text = torch.frombuffer(bytearray(open(request["text"], "rb").read()), dtype=torch.uint8).to(device)
losses = []
for step in range(steps):
    starts = [((step * batch + row) * time) % (len(text) - time - 1) for row in range(batch)]
    ids = torch.stack([text[start : start + time + 1] for start in starts]).long()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=request["dtype"] == "bf16"):
        logits = net(ids[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
    rule.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), rule_of["clip"])
    for group in rule.param_groups:
        group["lr"] = rule_of["lr"] * min(1, (step + 1) / rule_of["warmup"])
    rule.step()
    losses.append(loss.detach())
print(json.dumps(torch.stack(losses).tolist()))
