"""Cases that run a whole model in PyTorch; `compile` lets torch.compile have the forward pass and its gradient."""
import torch
import torch.nn.functional as F
from openelm_torch import Config, OpenELM, adamw
from torch import nn

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i32": torch.int32}


def mlp(sizes, batch, optimizer, compile=False):
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    x, y = torch.rand(batch, sizes[0]), torch.randint(sizes[-1], (batch,))
    if optimizer is None:
        return inference(lambda: model(x))
    if optimizer == "adam":
        rule = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    else:
        rule = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
    loss = maybe_compiled(lambda: F.cross_entropy(model(x), y), compile)

    def step():
        rule.zero_grad(set_to_none=True)
        loss().backward()
        rule.step()

    return step


def language_model(model):
    """The network of a model as the benchmarks describe it, with embeddings that are as small as they begin."""
    config = Config(
        vocab_size=model["vocab"],
        layers=len(model["layers"]),
        model_dim=model["dim"],
        head_dim=model["headDim"],
        max_context_length=model["context"],
    )
    shapes = [(layer["queryHeads"], layer["kvHeads"], layer["feedForwardDim"]) for layer in model["layers"]]
    net = OpenELM(config, shapes)
    nn.init.normal_(net.token_embeddings.weight, std=config.model_dim**-0.5)
    return net


def train(model, batch, time, dtype, compile=False):
    """One step: loss, gradients, clipping at norm 1, fused AdamW."""
    net = language_model(model)
    rule = adamw(net, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    ids = torch.randint(model["vocab"], (batch, time + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss_of():
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=dtype == "bf16"):
            logits = net(inputs)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    loss = maybe_compiled(loss_of, compile)

    def step():
        rule.zero_grad(set_to_none=True)
        loss().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        rule.step()

    return step


def prefill(model, time, dtype="f32"):
    """A prompt into an empty cache, and the logits after its last token."""
    net = language_model(model).eval().to(DTYPES[dtype])
    ids = torch.randint(model["vocab"], (1, time))
    return inference(lambda: net.logits(net.hidden(ids, caches=net.caches(time))[:, -1:]))


def decode(model, context, dtype="f32", compile=False, graph=False):
    """One more token after `context` others; with `graph` as one CUDA graph that is replayed."""
    net = language_model(model).eval().to(DTYPES[dtype])
    caches = net.caches(context + 1)
    inference(lambda: net.hidden(torch.randint(model["vocab"], (1, context)), caches=caches))()
    token = torch.randint(model["vocab"], (1, 1))

    def call():
        for cache in caches:
            cache.length = context
        net.logits(net.hidden(token, caches=caches)).argmax(-1)

    return inference(replayed(maybe_compiled(call, compile)) if graph else call)


def replayed(call):
    """The call as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        call()
    return graph.replay


def inference(call):
    def run():
        with torch.inference_mode():
            call()

    return run


def maybe_compiled(function, compile):
    return torch.compile(function, dynamic=False) if compile else function
