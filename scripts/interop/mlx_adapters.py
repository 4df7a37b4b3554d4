"""mlx-lm on adapters of ours, and adapters of its own.

    python mlx_adapters.py TASK

The task has ids (a safetensors file), out, which gets logits by the names of cases, and lists of cases, each with name
and model (a folder): read (adapter: a folder of ours), train (adapter: where `mlx_lm.lora` writes one, type, layers,
parameters) and fuse (adapter, folder: where `mlx_lm.fuse` writes the model, dequantize).
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
from mlx_lm import fuse, load, lora

mx.set_default_device(mx.cpu)


def logits(model, adapter, ids):
    loaded, _ = load(model, adapter_path=adapter)
    loaded.eval()
    return loaded(ids).astype(mx.float32)


def train(case, data):
    """Some steps large enough that the adapter is far from doing nothing."""
    settings = {
        "model": case["model"],
        "train": True,
        "data": str(data),
        "fine_tune_type": case["type"],
        "num_layers": case["layers"],
        "lora_parameters": case["parameters"],
        "adapter_path": case["adapter"],
        "learning_rate": 0.05,
        "iters": 4,
        "batch_size": 1,
        "val_batches": 1,
        "max_seq_length": 64,
    }
    lora.run(SimpleNamespace(**{**lora.CONFIG_DEFAULTS, **settings}))


def run_fuse(case):
    options = ["--model", case["model"], "--adapter-path", case["adapter"], "--save-path", case["folder"]]
    sys.argv = ["mlx_lm.fuse", *options, *(["--dequantize"] if case["dequantize"] else [])]
    fuse.main()


def main(path):
    task = json.loads(Path(path).read_text())
    ids, out = mx.load(task["ids"])["ids"], {}
    data = Path(task["out"] + ".data")
    data.mkdir(exist_ok=True)
    lines = "".join(json.dumps({"text": f"{n} times {n} is {n * n}, and so on it goes."}) + "\n" for n in range(8))
    for name in ("train", "valid"):
        (data / f"{name}.jsonl").write_text(lines)
    for case in task["train"]:
        train(case, data)
    for case in task["read"] + task["train"]:
        out[case["name"]] = logits(case["model"], case["adapter"], ids)
    for case in task["fuse"]:
        run_fuse(case)
        out[case["name"]] = logits(case["folder"], None, ids)
    mx.save_safetensors(task["out"], out)


if __name__ == "__main__":
    main(*sys.argv[1:])
