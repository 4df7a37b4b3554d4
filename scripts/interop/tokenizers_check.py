"""SentencePiece and Hugging Face's tokenizers on texts and ids.

    python tokenizers_check.py TASK OUT    the task has model (a .model file), json (where a tokenizer.json goes),
                                           pieces and merges (what it is made of), texts and ids
"""

import json
import sys

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers


def llama_json(pieces, merges):
    """As the fast tokenizer of Llama is made."""
    vocab = {piece: i for i, piece in enumerate(pieces)}
    model = models.BPE(vocab, [tuple(m) for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def main(task, out):
    task = json.load(open(task, encoding="utf-8"))
    pieces = sentencepiece.SentencePieceProcessor(model_file=task["model"])
    answer = {"pieces": {"ids": pieces.encode(task["texts"]), "texts": [pieces.decode(ids) for ids in task["ids"]]}}
    if "json" in task:
        fast = llama_json(task["pieces"], task["merges"])
        fast.save(task["json"])
        encoded = fast.encode_batch(task["texts"], add_special_tokens=False)
        answer["json"] = {
            "ids": [e.ids for e in encoded],
            "texts": [fast.decode(ids, skip_special_tokens=False) for ids in task["ids"]],
        }
    # Lone surrogates cannot come of either; what is no character is U+FFFD already.
    json.dump(answer, open(out, "w", encoding="utf-8"))


if __name__ == "__main__":
    main(*sys.argv[1:])
