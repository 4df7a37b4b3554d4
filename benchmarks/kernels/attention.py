"""Attention on Hopper, forwards and backwards: checked against the definition in f32, timed beside PyTorch's.

    python3 benchmarks/kernels/attention.py            # checks, then times
    python3 benchmarks/kernels/attention.py --check | --time | --profile [--dim 128] [--cubins FOLDER]
    ncu --set full -k regex:hopper python3 benchmarks/kernels/attention.py --profile
"""
import argparse
import ctypes
import math
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from workbench import Attention, Checks, Module, compile, times

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for flag in ("check", "time", "profile"):
    parser.add_argument(f"--{flag}", action="store_true")
parser.add_argument("--dim", type=int, choices=(64, 128), default=64)
parser.add_argument("--cubins")
options = parser.parse_args()

torch.backends.cuda.matmul.allow_tf32 = False
FORWARD, BACKWARD = (Module(compile(name, options.cubins)) for name in ("hopper_forward", "hopper_backward"))
NAMES = {torch.bfloat16: "bf16", torch.float16: "f16"}
BLOCKS = torch.cuda.get_device_properties(0).multi_processor_count
# Warpgroups that compute, and keys at a time, of the forward kernel (hopper_forward.cu); as `hopper.rs` has them.
GROUPS, STEP, STAGES, BARRIERS, ALIGNMENT = 3, {64: 128, 128: 64}, 4, 160, 1024


def describe(q, k, v, grad, causal, lengths=None, documents=None):
    heads, dim = q.shape[1], q.shape[3]
    a = Attention(heads, heads // k.shape[1], q.shape[2], k.shape[2], dim, int(causal), 1 / math.sqrt(dim))
    for name, tensor in (("q", q), ("k", k), ("v", v), ("grad", grad)):
        getattr(a, name)[:] = tensor.stride()[:3]
    if lengths is not None:
        a.kept = [lengths, torch.full((1,), -1, dtype=torch.int64, device="cuda")]
        a.lengths, a.word = (tensor.data_ptr() for tensor in a.kept)
    if documents is not None:
        parts = documents.split(64, 1)
        spans = torch.stack([torch.stack([part.amin(1), part.amax(1)], -1) for part in parts], 1).contiguous()
        a.kept = [documents, spans]
        a.documents, a.spans = (tensor.data_ptr() for tensor in a.kept)
    return a


def forward(q, k, v, a):
    batch, heads, time, dim = q.shape
    y, lse = torch.empty(q.shape, dtype=q.dtype, device="cuda"), torch.empty(q.shape[:3], device="cuda")
    tiles = -(-time // (GROUPS * 64)) * batch * heads
    shared = (2 * GROUPS * 64 + STAGES * 2 * STEP[dim]) * dim * 2 + BARRIERS + ALIGNMENT
    name = f"hopper_forward_{dim}_{NAMES[q.dtype]}"
    FORWARD.launch(name, min(tiles, BLOCKS), (GROUPS + 1) * 128, shared, y, lse, q, k, v, batch * heads, a)
    return y, lse


def backward(q, k, v, grad, lse, delta, a, only=("keys", "queries")):
    batch, heads, time, dim = q.shape
    dq, dk, dv = (torch.empty(t.shape, dtype=t.dtype, device="cuda") for t in (q, k, v))
    shared = (2 * 128 + STAGES * 2 * 64) * dim * 2 + BARRIERS + ALIGNMENT
    inputs, name = (grad, q, k, v, lse, delta), f"{dim}_{NAMES[q.dtype]}"
    if "keys" in only:
        blocks = -(-k.shape[2] // 128) * batch * k.shape[1]
        BACKWARD.launch(f"hopper_keys_{name}", blocks, 384, shared + STAGES * 2 * 64 * 4, dk, dv, *inputs, a)
    if "queries" in only:
        tiles = -(-time // 128) * batch * heads
        BACKWARD.launch(f"hopper_queries_{name}", min(tiles, BLOCKS), 384, shared, dq, *inputs, batch * heads, a)
    return dq, dk, dv


def dot_of(grad, y):
    return (grad.float() * y.float()).sum(-1).contiguous()


def definition(q, k, v, grad, mask):
    q, k, v = (t.detach().float().requires_grad_() for t in (q, k, v))
    group = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(group, 1).transpose(2, 3) / math.sqrt(q.shape[3])
    scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.where(mask.any(-1, keepdim=True), torch.softmax(scores, -1), 0).nan_to_num()
    y = weights @ v.repeat_interleave(group, 1)
    grads = torch.autograd.grad(y, (q, k, v), grad.float())
    return y.detach(), scores.logsumexp(-1).detach(), grads


def random(batch, heads, time, dim, dtype, turned):
    """[batch, heads, time, dim]; turned: as a projection gives it, with tokens before heads."""
    if not turned:
        return torch.randn(batch, heads, time, dim, device="cuda", dtype=dtype)
    return torch.randn(batch, time, heads, dim, device="cuda", dtype=dtype).transpose(1, 2)


# Batch, heads, kv heads, queries, keys: single ones, edges of tiles ± 1, more keys than queries and fewer.
CASES = [
    (1, 1, 1, 1, 1), (1, 2, 1, 5, 5), (2, 4, 1, 63, 63), (1, 4, 2, 64, 64), (1, 3, 3, 65, 65), (2, 4, 1, 130, 130),
    (1, 4, 4, 200, 200), (1, 2, 1, 333, 333), (1, 4, 2, 70, 200), (1, 2, 2, 200, 70), (2, 8, 2, 1000, 1000),
]  # fmt: skip
# Products of half precision, relative to the largest value: P and S are rounded before they are multiplied.
TOLERANCE = {torch.bfloat16: 0.02, torch.float16: 0.004}


def check(checks):
    torch.manual_seed(0)
    for number, (dim, dtype, sizes, causal, kind) in enumerate(
        (dim, dtype, sizes, causal, kind)
        for dim in (64, 128)
        for dtype in NAMES
        for sizes in CASES
        for causal in (True, False)
        for kind in ("plain", "lengths", "documents")
    ):
        batch, heads, kv_heads, time, keys = sizes
        if kind == "documents" and time != keys:
            continue
        q, grad = (random(batch, heads, time, dim, dtype, number % 2) for _ in range(2))
        k, v = (random(batch, kv_heads, keys, dim, dtype, number % 2) for _ in range(2))
        length = torch.full((batch,), keys, device="cuda")
        lengths = documents = None
        if kind == "lengths":
            length = torch.tensor([max(1, keys * (i + 1) // (batch + 1)) for i in range(batch)], device="cuda")
            lengths = length.int()
        if kind == "documents":
            documents = torch.randint(0, 4, (batch, keys), device="cuda", dtype=torch.int32).sort(1)[0]
        position = length[:, None] - time + torch.arange(time, device="cuda")
        j = torch.arange(keys, device="cuda")
        mask = (j < length[:, None, None]).expand(batch, time, keys)
        if causal:
            mask = mask & (j <= position[:, :, None])
        if documents is not None:
            mask = mask & (documents[:, None, :] == documents[:, :, None])
        wanted, wanted_lse, wanted_grads = definition(q, k, v, grad, mask[:, None])
        for b in range(batch):
            # Nobody may look behind the length.
            k[b, :, length[b] :] = v[b, :, length[b] :] = math.nan
        a = describe(q, k, v, grad, causal, lengths, documents)
        y, lse = forward(q, k, v, a)
        what = f"dim {dim} {NAMES[dtype]} {sizes} causal={causal} {kind}"
        checks.close(f"y, {what}", y, wanted, TOLERANCE[dtype])
        seen = wanted_lse.isfinite()
        checks.close(f"lse, {what}", lse[seen], wanted_lse[seen], 1e-3)
        grads = backward(q, k, v, grad, lse, dot_of(grad, y), a)
        for name, got, want in zip(("dq", "dk", "dv"), grads, wanted_grads):
            checks.close(f"{name}, {what}", got, want, 2 * TOLERANCE[dtype])


def time(batch, heads, kv_heads, time, dim):
    q, grad = (random(batch, heads, time, dim, torch.bfloat16, False) for _ in range(2))
    k, v = (random(batch, kv_heads, time, dim, torch.bfloat16, False) for _ in range(2))
    a = describe(q, k, v, grad, True)
    y, lse = forward(q, k, v, a)
    inputs = (q, k, v, grad, lse, dot_of(grad, y), a)
    functions = {
        "ours": lambda: forward(q, k, v, a),
        "ours, keys": lambda: backward(*inputs, only="keys"),
        "ours, queries": lambda: backward(*inputs, only="queries"),
    }
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):

        def attend(q, k, v, backend=backend):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        functions[name] = lambda attend=attend: attend(q, k, v)
        result = attend(*leaves)
        functions[f"{name} backward"] = lambda y=result: torch.autograd.grad(y, leaves, grad, retain_graph=True)
    ms = times(functions)
    ms["ours backward"] = ms["ours, keys"] + ms["ours, queries"]
    print(f"B{batch} T{time} heads {heads}/{kv_heads} of {dim}, bf16, causal: ms, TFLOP/s of the scores that are seen")
    # Two products forwards and five backwards, of which ours makes two twice.
    flops = 2 * 2 * batch * heads * time * time * dim / 2
    products = {"ours, keys": 4, "ours, queries": 3}
    for name, value in ms.items():
        share = products.get(name, 5 if "backward" in name else 2) / 2
        print(f"  {name:15} {value:7.3f} {flops * share / value / 1e9:7.0f}")


SIZES = {64: (8, 16, 4, 2048, 64), 128: (8, 24, 6, 2048, 128)}
every = not (options.check or options.time or options.profile)
checks = Checks()
if options.check or every:
    check(checks)
    checks.summary()
if options.time or every:
    for sizes in SIZES.values():
        time(*sizes)
if options.profile:
    batch, heads, kv_heads, tokens, dim = SIZES[options.dim]
    q, grad = (random(batch, heads, tokens, dim, torch.bfloat16, False) for _ in range(2))
    k, v = (random(batch, kv_heads, tokens, dim, torch.bfloat16, False) for _ in range(2))
    a = describe(q, k, v, grad, True)
    y, lse = forward(q, k, v, a)
    backward(q, k, v, grad, lse, dot_of(grad, y), a)
    torch.cuda.synchronize()
sys.exit(1 if checks.failed else 0)
