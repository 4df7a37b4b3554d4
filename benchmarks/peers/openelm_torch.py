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


def rotary_tables(time: int, dim: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position, `[time, dim]`; both halves turn by the same angles."""
    frequencies = base ** -(torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angles = torch.arange(time, device=device, dtype=torch.float32)[:, None] * frequencies
    return angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config: Config, heads: int, kv_heads: int):
        super().__init__()
        dim = config.head_dim
        self.dim, self.heads, self.kv_heads = dim, heads, kv_heads
        self.qkv_proj = nn.Linear(config.model_dim, (heads + 2 * kv_heads) * dim, bias=False)
        self.q_norm = nn.RMSNorm(dim, config.eps)
        self.k_norm = nn.RMSNorm(dim, config.eps)
        self.out_proj = nn.Linear(heads * dim, config.model_dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        batch, time, _ = x.shape
        heads = self.qkv_proj(x).view(batch, time, -1, self.dim).transpose(1, 2)
        q, k, v = heads.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        q = rotate(self.q_norm(q), cos, sin)
        k = rotate(self.k_norm(k), cos, sin)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=self.heads != self.kv_heads
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
        self.attn_norm = nn.RMSNorm(config.model_dim, config.eps)
        self.attn = Attention(config, heads, kv_heads)
        self.ffn_norm = nn.RMSNorm(config.model_dim, config.eps)
        self.ffn = FeedForward(config, hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.attn_norm(x), cos, sin, mask)
        return x + self.ffn(self.ffn_norm(x))


class OpenELM(nn.Module):
    """Decoder-only language model with tied embeddings; ids `[batch, time]` to logits `[batch, time, vocabulary]`."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.token_embeddings = nn.Embedding(config.vocab_size, config.model_dim)
        self.layers = nn.ModuleList(Layer(config, *shape) for shape in config.layer_shapes())
        self.norm = nn.RMSNorm(config.model_dim, config.eps)

    def forward(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        """`documents` `[batch, time]`: attention stays within positions of the same number."""
        time = ids.shape[1]
        cos, sin = rotary_tables(time, self.config.head_dim, self.config.rope_base, ids.device)
        mask = None
        if documents is not None:
            before = torch.ones(time, time, dtype=torch.bool, device=ids.device).tril()
            mask = ((documents[:, :, None] == documents[:, None, :]) & before)[:, None]
        x = self.token_embeddings(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return F.linear(self.norm(x), self.token_embeddings.weight)

    def loss(self, ids: Tensor, targets: Tensor, documents: Tensor | None = None) -> Tensor:
        """Mean cross-entropy over the targets that are not `IGNORED`."""
        logits = self(ids, documents)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def adamw(model: nn.Module, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, **options):
    """AdamW that decays matrices and leaves norm weights alone."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, **options)
