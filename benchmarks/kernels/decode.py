"""The kernels of a generated token, as the layers of a model run them one after the other: the time of each kind.

    python3 benchmarks/kernels/decode.py [--dim 1280 --heads 16 --kv 4 --head 64 --ffn 2816 --layers 16 --keys 1025]
    python3 benchmarks/kernels/decode.py --kernels norm_product=other [--cubins FOLDER]

Weights of all layers are different memory, and a pass is a CUDA graph, as in the core. Each kind of kernel is timed twice: in
a pass that has nothing else, and by what the whole pass loses without it. `--kernels` takes a file of kernels for another
one, so that two ways can be compared in one call.
"""
import argparse
import ctypes
import math

import torch
from workbench import Attention, Module, compile, times

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in dict(dim=1280, heads=16, kv=4, head=64, ffn=2816, layers=16, keys=1025, ahead=16384).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--cubins")
parser.add_argument("--kernels", action="append", default=[], help="FILE=OTHER, may be repeated")
o = parser.parse_args()
u64, i64, u32, f64, ptr = ctypes.c_uint64, ctypes.c_int64, ctypes.c_uint32, ctypes.c_double, ctypes.c_void_p
# Warps of a block of norm_product.cu.
WARPS = 12
SMS = torch.cuda.get_device_properties(0).multi_processor_count
OTHERS = dict(pair.split("=") for pair in o.kernels)
LIBRARY = {}


def module(name, others):
    file = OTHERS.get(name, name) if others else name
    LIBRARY[file] = LIBRARY.get(file) or Module(compile(file, o.cubins))
    return LIBRARY[file]


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
frequencies = Frequencies()
frequencies.values[: o.head // 2] = [10000 ** (-2 * j / o.head) for j in range(o.head // 2)]
heads = Heads(1, 1, o.heads, o.kv, o.head // 2, o.head // 16)


def split(k):
    """Parts of a column's sum: `warps_for_sums` of matmul.rs."""
    return min(8, 1 << max(0, math.ceil(math.log2(math.ceil(k / 1536)))))


def attention(layer, others, **options):
    steps = [o.kv * o.keys * o.head, o.keys * o.head, o.head]
    a = Attention(o.heads, o.heads // o.kv, 1, o.keys, o.head, 1, o.head**-0.5)
    a.q[:], a.k[:], a.v[:] = [o.heads * o.head, o.head, o.head], steps, steps
    a.lengths, a.word = lengths.data_ptr(), word.data_ptr()
    caches = Caches(layer["keys"].data_ptr(), layer["values"].data_ptr(), (i64 * 4)(*steps, 1), (i64 * 4)(*steps, 1))
    caches.offset, caches.most, caches.word, caches.batch = offset.data_ptr(), o.keys - 1, word.data_ptr(), 1
    args = [y, None, q, caches, qkv, layer["q_norm"], layer["k_norm"], heads, frequencies, f64(1e-6), a]
    name = f"cached_attention_{o.head}_bf16_bf16"
    module("cached_attention", others).launch(name, 8 * o.kv, 128, 0, *args, cluster=8, **options)


def product(out, a, weight, others, **options):
    n, k = weight.shape
    lead, s = (u32 * (1 + 8 + 2 * 8 * 2 + 1))(), split(k)
    args = [out, a, weight, lead, 1, n, k, i64(k), i64(1), i64(k), s]
    module("few_rows", others).launch("by_column_1_bf16_bf16", -(-n // (8 // s)), 256, 0, *args, **options)


def norm_product(out, gate, norm, weight, others, **options):
    n, k = weight.shape
    units = n // 2 if gate is not None else n
    name = ("norm_swiglu" if gate is not None else "norm_product") + "_bf16_bf16"
    team = -(-(-(-k // 8 // 2)) // 32) * 32
    args = [x, normed, out, gate, x, branch, norm, weight, n, k, i64(k), split(k), o.ahead, team, f64(1e-6)]
    grid = min(-(-units // WARPS), SMS)
    module("norm_product", others).launch(name, grid, 32 * WARPS, 3 * k * 2, *args, **options)


KINDS = {
    "qkv": lambda layer, *args, **options: norm_product(qkv, None, layer["norm"], layer["qkv"], *args, **options),
    "attention": attention,
    "out": lambda layer, *args, **options: product(branch, y, layer["out"], *args, **options),
    "up": lambda layer, *args, **options: norm_product(h, gated, layer["norm"], layer["up"], *args, **options),
    "down": lambda layer, *args, **options: product(branch, gated, layer["down"], *args, **options),
}


def timed(kinds, others, overlaps):
    """Median microseconds of a pass with kernels of some kinds."""

    def token():
        for layer in layers:
            for kind in kinds:
                KINDS[kind](layer, others, overlaps=overlaps)

    with torch.cuda.stream(torch.cuda.Stream()):
        token()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        token()
    return times({"pass": graph.replay}, calls=20)["pass"] * 1e3


bytes_once = sum(layer[name].numel() * 2 for layer in layers for name in ("qkv", "out", "up", "down"))
print(f"{bytes_once / 1e6:.0f} MB of weights: {bytes_once / 4.3e6:.0f} us at 4.3 TB/s")
for others in (False, True) if OTHERS else (False,):
    for overlaps in (False, True):
        whole = timed(KINDS, others, overlaps)
        print(f"{'other kernels' if others else 'kernels'}, {'overlapping' if overlaps else 'one after the other'}: {whole:.0f} us")
        for kind in KINDS:
            alone = timed([kind], others, overlaps) / o.layers
            lost = (whole - timed([other for other in KINDS if other != kind], others, overlaps)) / o.layers
            print(f"  {kind:<10} {alone:6.2f} us a layer alone, {lost:6.2f} us of the pass", flush=True)
