"""mlx-lm on folders of ours, and a folder of its own.

    python mlx_check.py logits FOLDER IDS OUT            strict names, as mlx-lm itself loads
    python mlx_check.py convert FOLDER OUT BITS GROUP    what `mlx_lm.convert` makes of a folder; BITS 0: no codes
"""

import sys
from pathlib import Path

import mlx.core as mx
from mlx_lm.utils import load_model

mx.set_default_device(mx.cpu)


def logits(folder, ids, out):
    model, _ = load_model(Path(folder), strict=True)
    model.eval()
    values = model(mx.load(ids)["ids"])
    mx.save_safetensors(out, {"logits": values.astype(mx.float32)})


def convert(folder, out, bits, group):
    from mlx_lm import convert as program

    codes = {"quantize": True, "q_bits": int(bits), "q_group_size": int(group)} if int(bits) else {}
    program(folder, out, **codes)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"logits": logits, "convert": convert}[command](*arguments)
