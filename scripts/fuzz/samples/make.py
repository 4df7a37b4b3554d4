"""Compressed and columnar files that the fuzzer starts from, by the programs that people make them with.

pip install pyarrow==26.0.1 zstandard==0.25.0; python make.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

PLACE = Path(__file__).parent
TEXTS = [f"the ocean number {i} and the sea {'a' * i}" for i in range(12)]


def parquet(name, texts, **options):
    kind = options.pop("kind", pa.string())
    table = pa.table({"text": pa.array(texts, kind), "id": list(range(len(texts)))})
    pq.write_table(table, PLACE / f"{name}.parquet", store_schema=False, **options)


parquet("plain", TEXTS, compression="none", use_dictionary=False, write_statistics=False)
parquet("snappy", TEXTS * 2, compression="snappy", row_group_size=10)
parquet("zstd", [None, *TEXTS, None], compression="zstd", data_page_version="2.0")
parquet("lz4", TEXTS, compression="lz4", use_dictionary=["id"], column_encoding={"text": "DELTA_BYTE_ARRAY"})
parquet("lengths", TEXTS, compression="none", use_dictionary=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY"})
nested = pa.table({"row": pa.array([{"text": t} if i % 3 else None for i, t in enumerate(TEXTS)])})
pq.write_table(nested, PLACE / "nested.parquet", compression="snappy", store_schema=False)

lines = "".join(f'{{"text": "{text}", "id": {i}}}\n' for i, text in enumerate(TEXTS)).encode()
(PLACE / "lines.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19, write_checksum=True).compress(lines))
