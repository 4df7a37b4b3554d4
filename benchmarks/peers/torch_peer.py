"""PyTorch, eager: the plain way to write each case, with the fused operators that it has. OPENELM_DEVICE says where."""
import os

from protocol import missing, serve

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    missing("torch")

DEVICE = os.environ.get("OPENELM_DEVICE", "cpu")
torch.set_default_device(DEVICE)

import torch_models
from openelm_torch import rotary_tables, rotate
from torch_models import DTYPES, inference


def matmul(m, k, n, ta=False, tb=False, dtype="f32"):
    a, b = matrix(m, k, ta, dtype), matrix(k, n, tb, dtype)
    return inference(lambda: a @ b)


def matrix(rows, columns, transposed, dtype):
    x = torch.rand(columns, rows) if transposed else torch.rand(rows, columns)
    x = x.to(DTYPES[dtype])
    return x.T if transposed else x


def both(function, backward, *inputs):
    """The function's forward pass, or its backward pass alone."""
    if not backward:
        return inference(lambda: function(*inputs))
    leaves = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = function(*inputs)
    grad = torch.rand_like(y)
    return lambda: torch.autograd.grad(y, leaves, grad, retain_graph=True)


def random(*shape, dtype="f32"):
    return torch.rand(*shape, dtype=DTYPES[dtype])


def rms_norm(rows, dim, backward, dtype="f32"):
    x, weight = random(rows, dim, dtype=dtype), random(dim, dtype=dtype)
    return both(lambda x, w: F.rms_norm(x, (dim,), w, 1e-6), backward, x, weight)


def add_rms_norm(rows, dim, backward, dtype="f32"):
    x, branch, weight = random(rows, dim), random(rows, dim, dtype=dtype), random(dim)

    def function(x, branch, weight):
        return F.rms_norm(x + branch, (dim,), weight, 1e-6).to(branch.dtype)

    return both(function, backward, x, branch, weight)


def softmax(rows, dim, backward):
    return both(lambda x: F.softmax(x, -1), backward, torch.rand(rows, dim))


def swiglu(rows, dim, backward):
    def function(x):
        gate, up = x.chunk(2, -1)
        return F.silu(gate) * up

    return both(function, backward, torch.rand(rows, 2 * dim))


def attention(batch, heads, kv_heads, time, dim, backward, dtype="f32"):
    q = random(batch, heads, time, dim, dtype=dtype)
    k, v = (random(batch, kv_heads, time, dim, dtype=dtype) for _ in range(2))
    gqa = heads != kv_heads
    return both(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa), backward, q, k, v
    )


def cross_entropy(rows, classes, backward, dtype="f32"):
    x = random(rows, classes, dtype=dtype)
    targets = torch.randint(classes, (rows,))
    return both(lambda x: F.cross_entropy(x, targets, reduction="sum"), backward, x)


def embedding(rows, classes, dim, backward):
    ids = torch.randint(classes, (rows,))
    return both(lambda weight: F.embedding(ids, weight), backward, torch.rand(classes, dim))


def adamw(size):
    p = torch.rand(size, requires_grad=True)
    p.grad = torch.rand(size)
    return torch.optim.AdamW([p], lr=1e-3, fused=True).step


def elementwise(name, size):
    a, b = torch.rand(size), torch.rand(size)
    calls = {"add": lambda: a + b, "exp": lambda: torch.exp(a), "sum": lambda: a.sum()}
    return inference(calls[name])


def transpose(size):
    x = torch.rand(size, size)
    return inference(lambda: x.t().contiguous())


def add(size):
    a, b = torch.rand(size), torch.rand(size)
    return inference(lambda: a + b)


def cast(size, source, target):
    x = torch.rand(size).to(DTYPES[source])
    return inference(lambda: x.to(DTYPES[target]))


def reduce(name, over, size):
    x = torch.rand(size, size)
    axis = {"all": None, "rows": 1, "columns": 0}[over]
    calls = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "norm": torch.linalg.vector_norm}
    function = calls[name]
    return inference(lambda: function(x) if axis is None else function(x, dim=axis))


def permute(shape, axes, dtype="f32"):
    x = torch.rand(*shape).to(DTYPES[dtype])
    return inference(lambda: x.permute(axes).contiguous())


def gelu(rows, dim, approximate, backward):
    return both(lambda x: F.gelu(x, approximate=approximate), backward, torch.rand(rows, dim))


def rope(heads, time, dim, backward):
    cos, sin = rotary_tables(time, dim, 10000.0)
    return both(lambda x: rotate(x, cos, sin), backward, torch.rand(1, heads, time, dim))


def qk_norm_rope(heads, kv_heads, time, dim, backward):
    cos, sin = rotary_tables(time, dim, 10000.0)

    def function(qkv, q_weight, k_weight):
        parts = qkv.view(1, time, -1, dim).transpose(1, 2).split((heads, kv_heads, kv_heads), dim=1)
        normed = [F.rms_norm(x, (dim,), weight, 1e-6) for x, weight in zip(parts, (q_weight, k_weight))]
        return torch.cat([*(rotate(x, cos, sin) for x in normed), parts[2]], dim=1)

    width = (heads + 2 * kv_heads) * dim
    return both(function, backward, torch.rand(1, time, width), torch.rand(dim), torch.rand(dim))


def adamw_model(shapes):
    parameters = [torch.rand(shape, requires_grad=True) for shape in shapes]
    for p in parameters:
        p.grad = torch.rand(p.shape)
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True).step


serve(
    f"torch {torch.__version__}",
    {
        "matmul": matmul,
        "rms_norm": rms_norm,
        "add_rms_norm": add_rms_norm,
        "softmax": softmax,
        "swiglu": swiglu,
        "attention": attention,
        "cross_entropy": cross_entropy,
        "embedding": embedding,
        "adamw": adamw,
        "elementwise": elementwise,
        "transpose": transpose,
        "add": add,
        "gelu": gelu,
        "rope": rope,
        "qk_norm_rope": qk_norm_rope,
        "adamw_model": adamw_model,
        "mlp": torch_models.mlp,
        "train": torch_models.train,
        "prefill": torch_models.prefill,
        "decode": torch_models.decode,
        "cast": cast,
        "reduce": reduce,
        "permute": permute,
    },
    **({"wait": torch.cuda.synchronize, "peak": torch.cuda.max_memory_allocated} if DEVICE != "cpu" else {}),
)
