"""Writes an OpenELM with random weights as GGUF, for llama.cpp.

    python make_gguf.py OUT.gguf DTYPE MODEL    with DTYPE f32, bf16, q8 or q4 and MODEL as JSON

Matrices have the dtype, which for q8 and q4 is Q8_0 and Q4_0; norm weights are f32. The vocabulary is a SentencePiece
one without sense. What the weights are does not matter to the speed.
"""

import json
import os
import sys

import gguf
import numpy as np

TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4": (gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}


def write(path, dtype, model):
    kind, file_type = TYPES[dtype]
    writer = gguf.GGUFWriter(path, "openelm")
    head(writer, model, file_type)
    vocabulary(writer, model["vocab"])
    rng = np.random.default_rng(0)

    def matrix(name, rows, columns):
        values = rng.standard_normal((rows, columns), np.float32) * columns**-0.5
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def ones(name, size):
        writer.add_tensor(name, np.ones(size, np.float32))

    dim, width = model["dim"], model["headDim"]
    matrix("token_embd.weight", model["vocab"], dim)
    for i, layer in enumerate(model["layers"]):
        queries, keys, hidden = layer["queryHeads"], layer["kvHeads"], layer["feedForwardDim"]
        for name, size in (("attn_norm", dim), ("attn_q_norm", width), ("attn_k_norm", width), ("ffn_norm", dim)):
            ones(f"blk.{i}.{name}.weight", size)
        matrix(f"blk.{i}.attn_qkv.weight", (queries + 2 * keys) * width, dim)
        matrix(f"blk.{i}.attn_output.weight", dim, queries * width)
        matrix(f"blk.{i}.ffn_gate.weight", hidden, dim)
        matrix(f"blk.{i}.ffn_up.weight", hidden, dim)
        matrix(f"blk.{i}.ffn_down.weight", dim, hidden)
    ones("output_norm.weight", dim)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def head(writer, model, file_type):
    layers, width = model["layers"], model["headDim"]
    writer.add_file_type(file_type)
    writer.add_block_count(len(layers))
    writer.add_context_length(model["context"])
    writer.add_embedding_length(model["dim"])
    writer.add_feed_forward_length([layer["feedForwardDim"] for layer in layers])
    writer.add_head_count([layer["queryHeads"] for layer in layers])
    writer.add_head_count_kv([layer["kvHeads"] for layer in layers])
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(model["vocab"])


def vocabulary(writer, size):
    kinds = gguf.TokenType
    tokens = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    tokens += [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    tokens += [(f"word{i}", kinds.NORMAL) for i in range(len(tokens), size)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types([int(kind) for _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


if __name__ == "__main__":
    out, dtype, model = sys.argv[1:]
    # Under its name only when it is whole.
    write(f"{out}.part", dtype, json.loads(model))
    os.replace(f"{out}.part", out)
