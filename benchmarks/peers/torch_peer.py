"""PyTorch on the CPU, eager: the plain way to write each case, with the fused operators that it has."""
from protocol import missing, serve

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    missing("torch")

import torch_model

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i32": torch.int32}


def matmul(m, k, n, dtype="f32"):
    a = torch.rand(m, k).to(DTYPES[dtype])
    b = torch.rand(k, n).to(DTYPES[dtype])
    return inference(lambda: a @ b)


def inference(call):
    def run():
        with torch.inference_mode():
            call()

    return run


def both(function, backward, *inputs):
    """The function's forward pass, or its backward pass alone."""
    if not backward:
        return inference(lambda: function(*inputs))
    leaves = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = function(*inputs)
    grad = torch.rand_like(y)
    return lambda: torch.autograd.grad(y, leaves, grad, retain_graph=True)


def rms_norm(rows, dim, backward):
    return both(lambda x, w: F.rms_norm(x, (dim,), w, 1e-6), backward, torch.rand(rows, dim), torch.rand(dim))


def softmax(rows, dim, backward):
    return both(lambda x: F.softmax(x, -1), backward, torch.rand(rows, dim))


def swiglu(rows, dim, backward):
    def function(x):
        gate, up = x.chunk(2, -1)
        return F.silu(gate) * up

    return both(function, backward, torch.rand(rows, 2 * dim))


def attention(batch, heads, kv_heads, time, dim, backward):
    q = torch.rand(batch, heads, time, dim)
    k, v = (torch.rand(batch, kv_heads, time, dim) for _ in range(2))
    gqa = heads != kv_heads
    return both(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa), backward, q, k, v
    )


def cross_entropy(rows, classes, backward):
    x = torch.rand(rows, classes)
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


def mlp(sizes, batch):
    layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    model = torch.nn.Sequential(*[part for layer in layers for part in (layer, torch.nn.ReLU())][:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.rand(batch, sizes[0]), torch.randint(sizes[-1], (batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


serve(
    f"torch {torch.__version__}",
    {
        "matmul": matmul,
        "rms_norm": rms_norm,
        "softmax": softmax,
        "swiglu": swiglu,
        "attention": attention,
        "cross_entropy": cross_entropy,
        "embedding": embedding,
        "adamw": adamw,
        "elementwise": elementwise,
        "transpose": transpose,
        "cast": cast,
        "reduce": reduce,
        "permute": permute,
        "mlp": mlp,
        "train": torch_model.train,
        "prefill": torch_model.prefill,
        "decode": torch_model.decode,
    },
)
