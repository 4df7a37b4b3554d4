"""MLX on the CPU. It is lazy, so every call evaluates what it made."""
from protocol import missing, serve

try:
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim
except ImportError:
    missing("mlx")

from importlib.metadata import version

mx.set_default_device(mx.cpu)
DTYPES = {"f32": mx.float32, "bf16": mx.bfloat16}


def random(rows, columns, transposed, dtype):
    x = mx.random.uniform(shape=(columns, rows) if transposed else (rows, columns)).astype(DTYPES[dtype])
    mx.eval(x)
    return x.T if transposed else x


def matmul(m, k, n, ta=False, tb=False, dtype="f32"):
    a, b = random(m, k, ta, dtype), random(k, n, tb, dtype)
    return lambda: mx.eval(a @ b)


def add(size):
    a, b = (random(1, size, False, "f32")[0] for _ in range(2))
    mx.eval(a, b)
    return lambda: mx.eval(a + b)


def mlp(sizes, batch, optimizer):
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    x = random(batch, sizes[0], False, "f32")
    y = mx.random.randint(0, sizes[-1], (batch,))
    mx.eval(model.parameters(), y)
    if optimizer is None:
        return lambda: mx.eval(model(x))
    rule = optim.Adam(1e-3) if optimizer == "adam" else optim.SGD(0.01)
    loss_and_grad = nn.value_and_grad(model, lambda model: nn.losses.cross_entropy(model(x), y, reduction="mean"))

    def step():
        _, grads = loss_and_grad(model)
        rule.update(model, grads)
        mx.eval(model.parameters(), rule.state)

    return step


serve(f"mlx {version('mlx')}", {"matmul": matmul, "add": add, "mlp": mlp})
