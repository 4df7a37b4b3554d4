"""ggml's Python package on GGUF files of ours, and a file of its own.

    python gguf_check.py read FILE OUT       the tensors as numbers, as a .npz file of f32
    python gguf_check.py save FILE OUT       a model with matrices in Q4_K, and what its numbers are
"""

import json
import sys

import gguf
import numpy as np


def save_tensors(path, tensors):
    header, start = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [start, start + values.nbytes]}
        start += values.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(values.tobytes())


def numbers(tensor):
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    return np.ascontiguousarray(values.reshape(tuple(reversed([int(n) for n in tensor.shape]))))


def read(path, out):
    reader = gguf.GGUFReader(path)
    save_tensors(out, {tensor.name: numbers(tensor) for tensor in reader.tensors})


def save(path, out):
    """One layer of width 256; codes are random bytes with scales that are numbers."""
    dim, heads, hidden, vocab = 256, 4, 512, 64
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "openelm")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(dim)
    writer.add_feed_forward_length([hidden])
    writer.add_head_count([heads])
    writer.add_head_count_kv([heads])
    writer.add_key_length(dim // heads)
    writer.add_value_length(dim // heads)
    writer.add_rope_dimension_count(dim // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    tensors = {}

    def matrix(name, rows, columns):
        blocks = rng.integers(0, 256, (rows, columns // 256, 144), dtype=np.uint8)
        blocks[..., :4] = rng.uniform(0.001, 0.01, (rows, columns // 256, 2)).astype(np.float16).view(np.uint8)
        raw = blocks.reshape(rows, -1)
        kind = gguf.GGMLQuantizationType.Q4_K
        writer.add_tensor(name, raw, raw_dtype=kind)
        tensors[name] = gguf.quants.dequantize(raw, kind).astype(np.float32)

    for name, size in (("attn_norm", dim), ("attn_q_norm", 64), ("attn_k_norm", 64), ("ffn_norm", dim)):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(size, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    matrix("token_embd.weight", vocab, dim)
    matrix("blk.0.attn_qkv.weight", 3 * dim, dim)
    matrix("blk.0.attn_output.weight", dim, dim)
    matrix("blk.0.ffn_gate.weight", hidden, dim)
    matrix("blk.0.ffn_up.weight", hidden, dim)
    matrix("blk.0.ffn_down.weight", dim, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_tensors(out, tensors)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"read": read, "save": save}[command](*arguments)
