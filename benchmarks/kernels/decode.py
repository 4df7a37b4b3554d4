"""The kernels of a generated token, as the layers of a model run them one after the other: the time of each kind.

    python3 benchmarks/kernels/decode.py [--dim 1280 --heads 16 --kv 4 --head 64 --ffn 2816 --layers 16 --keys 1025]

Weights of all layers are different memory, and the passes are CUDA graphs, as in the core. A kind's time is what the pass
loses when its kernels are left out.
"""
import argparse
import ctypes
import math

import torch
from workbench import Module, compile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in dict(dim=1280, heads=16, kv=4, head=64, ffn=2816, layers=16, keys=1025, ahead=16384).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--cubins")
parser.add_argument("--variants", default="", help="names of cubins instead of row_product and norm_product")
parser.add_argument("--stamps", default="")
parser.add_argument("--carveout", type=int, default=-1)
o = parser.parse_args()
u64, i64, u32, f64, ptr = ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint32, ctypes.c_double, ctypes.c_void_p
SMS = torch.cuda.get_device_properties(0).multi_processor_count
LIB = {}


def module(name):
    LIB[name] = LIB.get(name) or Module(compile(name, o.cubins))
    return LIB[name]


class Attention(ctypes.Structure):
    _fields_ = [
        *[(name, u32) for name in ("heads", "group", "queries", "keys", "dim", "causal")],
        ("scale", f64),
        *[(name, i64 * 3) for name in ("q", "k", "v", "grad", "y")],
        *[(name, ptr) for name in ("documents", "spans", "lengths", "word")],
    ]


class Caches(ctypes.Structure):
    _fields_ = [("keys", ptr), ("values", ptr), ("key_steps", i64 * 4), ("value_steps", i64 * 4)]
    _fields_ += [("offset", ptr), ("most", i64), ("word", ptr), ("batch", u64)]


class Heads(ctypes.Structure):
    _fields_ = [("rows", u64), *[(name, u32) for name in ("tokens", "query", "kv", "half", "lanes")]]


class Frequencies(ctypes.Structure):
    _fields_ = [("values", f64 * 128)]


new = lambda *shape: torch.randn(*shape, device="cuda").mul_(0.02).bfloat16()
qkv_width = (o.heads + 2 * o.kv) * o.head
x, branch, normed, q, y = new(o.dim), new(o.dim), new(o.dim), new(o.heads * o.head), new(o.heads * o.head)
qkv, h, gated = new(qkv_width), new(2 * o.ffn), new(o.ffn)
layers = [
    dict(
        norm=new(o.dim), qkv=new(qkv_width, o.dim), out=new(o.dim, o.heads * o.head), up=new(2 * o.ffn, o.dim),
        down=new(o.dim, o.ffn), keys=new(1, o.kv, o.keys, o.head), values=new(1, o.kv, o.keys, o.head),
        q_norm=new(o.head), k_norm=new(o.head),
    )
    for _ in range(o.layers)
]
offset = torch.tensor([o.keys - 1], dtype=torch.int32, device="cuda")
lengths, word = torch.tensor([o.keys], dtype=torch.int32, device="cuda"), torch.full((1,), -1, device="cuda")
sums, stats = torch.empty(1 << 22, device="cuda"), torch.empty(1 << 18, device="cuda")
counters = torch.zeros(1 << 12, dtype=torch.int32, device="cuda")
frequencies = Frequencies()
frequencies.values[: o.head // 2] = [10000 ** (-2 * j / o.head) for j in range(o.head // 2)]
heads = Heads(1, 1, o.heads, o.kv, o.head // 2, o.head // 16)


def split(k):
    return min(8, 1 << max(0, math.ceil(math.log2(math.ceil(k / 1536)))))


def attention(layer, kind, **options):
    steps = [o.kv * o.keys * o.head, o.keys * o.head, o.head]
    a = Attention(o.heads, o.heads // o.kv, 1, o.keys, o.head, 1, o.head**-0.5)
    a.q[:], a.k[:], a.v[:] = [o.heads * o.head, o.head, o.head], steps, steps
    a.lengths, a.word = lengths.data_ptr(), word.data_ptr()
    caches = Caches(layer["keys"].data_ptr(), layer["values"].data_ptr(), (i64 * 4)(*steps, 1), (i64 * 4)(*steps, 1))
    caches.offset, caches.most, caches.word, caches.batch = offset.data_ptr(), o.keys - 1, word.data_ptr(), 1
    made = [q, caches, qkv, layer["q_norm"], layer["k_norm"], heads, frequencies, f64(1e-6), a, o.head // 8]
    if "mma" in kind:
        name = f"cached_attention_{o.head}_bf16_bf16"
        module(kind).launch(name, 8 * o.kv, 128, 0, y, None, *made[:-1], cluster=8, **options)
    else:
        parts = -(-o.keys // 64)
        args = [y, None, sums, stats, counters, *made, parts]
        module(kind).launch("cached_attention_4_bf16_bf16", parts * o.kv, 128, 0, *args, **options)


def product(out, a, weight, kind, blocks, **options):
    n, k = weight.shape
    if kind == "few_rows":
        lead = (u32 * (1 + 8 + 2 * 8 * 2 + 1))()
        s = split(k)
        args = [out, a, weight, lead, 1, n, k, i64(k), i64(1), i64(k), s]
        module(kind).launch("by_column_1_bf16_bf16", -(-n // (8 // s)), 256, 0, *args, **options)
    elif "B_" in kind:
        warps, stages = map(int, kind.split("_")[1:3])
        s = split(k)
        shared = warps * stages * 512 * {1: 5, 2: 6, 4: 8, 8: 8}[s] + k * 2
        grid = min(-(-n // warps), SMS * blocks)
        module(kind).launch(f"row_product_{s}_bf16", grid, 32 * warps, shared, out, a, weight, n, k, i64(k), o.ahead, **options)
    else:
        grid = min(-(-n // 8), SMS * blocks)
        module(kind).launch("row_product_bf16", grid, 256, k * 2, out, a, weight, n, k, i64(k), split(k), o.ahead, **options)


def norm_product(out, gate, norm, weight, kind, blocks, **options):
    n, k = weight.shape
    units = n // 2 if gate is not None else n
    name = ("norm_swiglu" if gate is not None else "norm_product") + "_bf16_bf16"
    team = min(1024, -(-(-(-k // 8 // 2)) // 32) * 32)
    s = split(k)
    if "old" in kind:
        grid = min(-(-units // (8 // s)), SMS * 2)
        args = [x, normed, out, gate, x, branch, norm, weight, n, k, i64(k), s, team, f64(1e-6)]
        module(kind).launch(name, grid, 256, 2 * k * 2, *args, **options)
    elif "B_" in kind:
        warps, stages = map(int, kind.split("_")[1:3])
        shared = warps * stages * 512 * {1: 5, 2: 6, 4: 8, 8: 8}[s] + 3 * k * 2
        name = name.replace("_bf16_bf16", f"_{s}_bf16_bf16")
        grid = min(-(-units // warps), SMS * blocks)
        args = [x, normed, out, gate, x, branch, norm, weight, n, k, i64(k), o.ahead, team, f64(1e-6)]
        module(kind).launch(name, grid, 32 * warps, shared, *args, **options)
    else:
        warps = int(kind[6:])
        grid = min(-(-units // warps), SMS * blocks)
        args = [x, normed, out, gate, x, branch, norm, weight, n, k, i64(k), s, o.ahead, team, f64(1e-6)]
        module(kind).launch(name, grid, 32 * warps, 3 * k * 2, *args, **options)


def token(rows, norms, attends, blocks, skip=(), **options):
    (b1, b2) = blocks
    for layer in layers:
        if "qkv" not in skip:
            norm_product(qkv, None, layer["norm"], layer["qkv"], norms, b1, **options)
        if "attention" not in skip:
            attention(layer, attends, **options)
        if "out" not in skip:
            product(branch, y, layer["out"], rows, b1, **options)
        if "up" not in skip:
            norm_product(h, gated, layer["norm"], layer["up"], norms, b2, **options)
        if "down" not in skip:
            product(branch, gated, layer["down"], rows, b1, **options)


def timed(*args, **options):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        token(*args, **options)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        token(*args, **options)
    best = []
    for _ in range(7):
        begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
        begin.record()
        for _ in range(20):
            graph.replay()
        end.record()
        torch.cuda.synchronize()
        best.append(begin.elapsed_time(end) / 20 * 1e3)
    return sorted(best)[3]


if o.stamps:
    for name in o.stamps.split():
        for _ in range(3):
            for layer in layers:
                norm_product(qkv, None, layer["norm"], layer["qkv"], "norm_3", 3)
                attention(layer, name)
        torch.cuda.synchronize()
        import workbench as w
        at, size = ctypes.c_uint64(), ctypes.c_size_t()
        w._check(w._driver.cuModuleGetGlobal_v2(ctypes.byref(at), ctypes.byref(size), module(name)._module, b"stamps"), "stamps")
        host = (u64 * 32)()
        w._check(w._driver.cuMemcpyDtoH_v2(host, at, 256), "copy")
        print(name, [host[i] - host[0] for i in range(16)])

attention(layers[0], "cached_old")
wanted, cache = y.clone(), layers[0]["keys"].clone()
for kind in ("cached_mma",):
    y.zero_(), layers[0]["keys"][:, :, -1].zero_()
    attention(layers[0], kind)
    print(kind, "differs by", (y - wanted).abs().max().item(), "of", wanted.abs().max().item(), "key", (cache - layers[0]["keys"]).abs().max().item())

KINDS = ("qkv", "attention", "out", "up", "down")
bytes_once = sum(layer[name].numel() * 2 for layer in layers for name in ("qkv", "out", "up", "down"))
print(f"{bytes_once / 1e6:.0f} MB of weights, {bytes_once / 4.3e6:.0f} us at 4.3 TB/s")
variants = [v.split(",") for v in o.variants.split()] or [["row_product", "norm_product", "cached_attention_cluster", "3", "2"]]
for rows, norms, attends, b1, b2 in variants:
    kinds = (rows, norms, attends, (int(b1), int(b2)))
    for overlaps in (False, True):
        whole = timed(*kinds, overlaps=overlaps)
        alone = {kind: timed(*kinds, skip=[k for k in KINDS if k != kind], overlaps=overlaps) for kind in KINDS}
        without = {kind: whole - timed(*kinds, skip=[kind], overlaps=overlaps) for kind in KINDS}
        text = " ".join(f"{kind} {alone[kind] / o.layers:.2f}/{without[kind] / o.layers:.2f}" for kind in KINDS)
        print(f"{rows} {norms} {attends} {b1},{b2} overlaps {int(overlaps)}: {whole:.0f} us; a layer, alone/lost: {text}", flush=True)
