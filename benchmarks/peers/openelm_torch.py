"""OpenELM in PyTorch: what our model is compared with, in numbers and in speed.

    model = OpenELM(Config(vocab_size=2048, layers=6, model_dim=192, head_dim=32))
    loss = model.loss(ids, targets, documents)

Parameters are named as CoreNet names them. Mehta et al., 2024, "OpenELM", arXiv:2404.14619.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100


@dataclass(frozen=True)
class Config:
    """Sizes of a model; multipliers go along a line from the first layer to the last."""

    vocab_size: int
    layers: int
    model_dim: int
    head_dim: int
    heads_per_kv_head: int = 1
    attention: tuple[float, float] = (0.5, 1.0)
    feed_forward: tuple[float, float] = (0.5, 4.0)
    feed_forward_divisor: int = 256
    max_context_length: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-6

    def layer_shapes(self) -> list[tuple[int, int, int]]:
        """Query heads, key-value heads and feed-forward width of every layer."""
        shapes = []
        for attention, feed_forward in zip(self._along(self.attention), self._along(self.feed_forward), strict=True):
            width = nearest_multiple(self.model_dim * attention, self.head_dim * self.heads_per_kv_head)
            heads = width // self.head_dim
            hidden = nearest_multiple(self.model_dim * feed_forward, self.feed_forward_divisor)
            shapes.append((heads, heads // self.heads_per_kv_head, hidden))
        return shapes

    def _along(self, ends: tuple[float, float]) -> list[float]:
        first, last = ends
        steps = max(self.layers - 1, 1)
        return [round(first + (last - first) * i / steps, 2) for i in range(self.layers)]


def nearest_multiple(value: float, divisor: int) -> int:
    """The multiple of `divisor` next to `value`, at least one of it and not more than 10 % below."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


class RMSNorm(nn.RMSNorm):
    """As in torch, with the weight in the dtype of the input: under autocast that keeps the fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def rotary_tables(time: int, dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position, `[time, dim / 2]`; both halves of a head turn by the same angles."""
    frequencies = base ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    angles = torch.arange(time, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs (i, i + dim / 2) of each head by their positions' angles, in f32."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


class Cache:
    """Keys and values of one layer, in memory taken once; attention sees the part that is filled."""

    def __init__(self, kv_heads: int, dim: int, capacity: int, dtype: torch.dtype):
        self.k, self.v = (torch.zeros(1, kv_heads, capacity, dim, dtype=dtype) for _ in range(2))
        self.length = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end] = k
        self.v[:, :, self.length : end] = v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


class Attention(nn.Module):
    def __init__(self, config: Config, heads: int, kv_heads: int):
        super().__init__()
        dim = config.head_dim
        self.dim, self.heads, self.kv_heads = dim, heads, kv_heads
        self.qkv_proj = nn.Linear(config.model_dim, (heads + 2 * kv_heads) * dim, bias=False)
        self.q_norm = RMSNorm(dim, config.eps)
        self.k_norm = RMSNorm(dim, config.eps)
        self.out_proj = nn.Linear(heads * dim, config.model_dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        batch, time, _ = x.shape
        heads = self.qkv_proj(x).view(batch, time, -1, self.dim).transpose(1, 2)
        q, k, v = heads.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        q = rotate(self.q_norm(q), cos, sin)
        k = rotate(self.k_norm(k), cos, sin)
        if cache is not None:
            k, v = cache.extend(k, v)
        # A single position sees all that are in the cache; several are the first ones of their sequence.
        causal = mask is None and time > 1
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.heads != self.kv_heads
        )
        return self.out_proj(y.transpose(1, 2).reshape(batch, time, -1))


class FeedForward(nn.Module):
    def __init__(self, config: Config, hidden: int):
        super().__init__()
        self.proj_1 = nn.Linear(config.model_dim, 2 * hidden, bias=False)
        self.proj_2 = nn.Linear(hidden, config.model_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.proj_1(x).chunk(2, dim=-1)
        return self.proj_2(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config: Config, heads: int, kv_heads: int, hidden: int):
        super().__init__()
        self.attn_norm = RMSNorm(config.model_dim, config.eps)
        self.attn = Attention(config, heads, kv_heads)
        self.ffn_norm = RMSNorm(config.model_dim, config.eps)
        self.ffn = FeedForward(config, hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        x = x + self.attn(self.attn_norm(x), cos, sin, mask, cache)
        return x + self.ffn(self.ffn_norm(x))


class OpenELM(nn.Module):
    """Decoder-only language model with tied embeddings; ids `[batch, time]` to logits `[batch, time, vocabulary]`.

    `shapes` gives query heads, key-value heads and feed-forward width of every layer where they do not follow the
    lines of the configuration.
    """

    def __init__(self, config: Config, shapes: list[tuple[int, int, int]] | None = None):
        super().__init__()
        self.config = config
        self.token_embeddings = nn.Embedding(config.vocab_size, config.model_dim)
        self.layers = nn.ModuleList(Layer(config, *shape) for shape in shapes or config.layer_shapes())
        self.norm = RMSNorm(config.model_dim, config.eps)
        cos, sin = rotary_tables(config.max_context_length, config.head_dim, config.rope_base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def caches(self, capacity: int) -> list[Cache]:
        """Empty ones, for a batch of one."""
        dtype = self.token_embeddings.weight.dtype
        return [Cache(layer.attn.kv_heads, layer.attn.dim, capacity, dtype) for layer in self.layers]

    def hidden(self, ids: Tensor, documents: Tensor | None = None, caches: list[Cache] | None = None) -> Tensor:
        """What the last layer gives, normed. `documents` `[batch, time]`: attention stays within the same number."""
        time = ids.shape[1]
        start = caches[0].length if caches else 0
        cos, sin = self.cos[start : start + time].float(), self.sin[start : start + time].float()
        mask = None
        if documents is not None:
            before = torch.ones(time, time, dtype=torch.bool, device=ids.device).tril()
            mask = ((documents[:, :, None] == documents[:, None, :]) & before)[:, None]
        x = self.token_embeddings(ids)
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, caches[i] if caches else None)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.token_embeddings.weight)

    def forward(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        return self.logits(self.hidden(ids, documents))

    def loss(self, ids: Tensor, targets: Tensor, documents: Tensor | None = None) -> Tensor:
        """Mean cross-entropy over the targets that are not `IGNORED`."""
        logits = self(ids, documents)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def adamw(model: nn.Module, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, **options):
    """AdamW that decays matrices and leaves norm weights alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, **options)
