"""OpenELM as one writes it in PyTorch: pre-norm layers, grouped attention with normed queries and keys, SwiGLU."""
import torch
import torch.nn.functional as F
from torch import nn

LR = 1e-3


class Layer(nn.Module):
    def __init__(self, model, query_heads, kv_heads, ffn_dim):
        super().__init__()
        dim, head = model["dim"], model["headDim"]
        self.head, self.heads = head, (query_heads, kv_heads, kv_heads)
        self.norms = nn.ParameterList([nn.Parameter(torch.ones(n)) for n in (dim, dim, head, head)])
        self.qkv = nn.Linear(dim, sum(self.heads) * head, bias=False)
        self.out = nn.Linear(query_heads * head, dim, bias=False)
        self.up = nn.Linear(dim, 2 * ffn_dim, bias=False)
        self.down = nn.Linear(ffn_dim, dim, bias=False)

    def norm(self, x, which):
        weight = self.norms[which]
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), 1e-6)

    def forward(self, x, turn, cache=None):
        batch, time, _ = x.shape
        heads = self.qkv(self.norm(x, 0)).view(batch, time, -1, self.head).transpose(1, 2)
        q, k, v = heads.split(self.heads, 1)
        q, k = rotate(self.norm(q, 2), turn), rotate(self.norm(k, 3), turn)
        if cache is not None:
            k, v = cache.extend(k, v)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=time > 1, enable_gqa=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, time, -1))
        gate, up = self.up(self.norm(x, 1)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def rotate(x, turn):
    """Turns the pairs (i, i + half) of each head by their positions' angles."""
    cos, sin = turn
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Cache:
    """Keys and values of one layer, in memory taken once; attention sees the part that is filled."""

    def __init__(self, kv_heads, head, capacity):
        self.k, self.v = (torch.zeros(1, kv_heads, capacity, head) for _ in range(2))
        self.length = 0

    def extend(self, k, v):
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end] = k
        self.v[:, :, self.length : end] = v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


class Model(nn.Module):
    def __init__(self, model):
        super().__init__()
        dim, head = model["dim"], model["headDim"]
        self.embedding = nn.Embedding(model["vocab"], dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        shapes = model["layers"]
        self.layers = nn.ModuleList(Layer(model, s["queryHeads"], s["kvHeads"], s["feedForwardDim"]) for s in shapes)
        self.weight = nn.Parameter(torch.ones(dim))
        frequencies = 10000.0 ** (-torch.arange(0, head, 2) / head)
        angles = torch.outer(torch.arange(model["context"]), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def hidden(self, ids, caches=None):
        start = caches[0].length if caches else 0
        at = slice(start, start + ids.shape[1])
        turn = (self.cos[at], self.sin[at])
        x = self.embedding(ids)
        for i, layer in enumerate(self.layers):
            x = layer(x, turn, caches[i] if caches else None)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), 1e-6)

    def logits(self, hidden):
        return F.linear(hidden, self.embedding.weight)

    def caches(self, capacity):
        return [Cache(layer.heads[1], layer.head, capacity) for layer in self.layers]


def train(model, batch, time, dtype):
    """One step: loss, gradients, clipping at norm 1, fused AdamW."""
    net = Model(model)
    optimizer = torch.optim.AdamW(net.parameters(), LR, (0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(model["vocab"], (batch, time + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].reshape(-1)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            logits = net.logits(net.hidden(inputs))
        F.cross_entropy(logits.float().view(-1, model["vocab"]), targets).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return step


def prefill(model, time):
    """A prompt into an empty cache, and the logits after its last token."""
    net = Model(model).eval()
    ids = torch.randint(model["vocab"], (1, time))

    @torch.inference_mode()
    def call():
        net.logits(net.hidden(ids, net.caches(time))[:, -1:])

    return call


def decode(model, context):
    """One more token after `context` others."""
    net = Model(model).eval()
    with torch.inference_mode():
        caches = net.caches(context + 1)
        net.hidden(torch.randint(model["vocab"], (1, context)), caches)
    token = torch.randint(model["vocab"], (1, 1))

    @torch.inference_mode()
    def call():
        for cache in caches:
            cache.length = context
        net.logits(net.hidden(token, caches))

    return call
