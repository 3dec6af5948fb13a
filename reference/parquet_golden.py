"""Writes testdata/parquet: one table in the encodings that Parquet files of images have.

    python reference/parquet_golden.py

pyarrow 26.0.1. Row i of 40 holds (37 i mod 101) bytes (7 i + 3 k) mod 256 as `image.bytes`, nothing in row 2, and `row_i.png` as
`image.path`; `crates/segdata/src/files/parquet/tests.rs` says the same.
"""
import os

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = os.path.join(os.path.dirname(__file__), "..", "testdata", "parquet")
ROWS = 40


def row(i):
    content = None if i == 2 else bytes((i * 7 + k * 3) % 256 for k in range(i * 37 % 101))
    return {"image": {"bytes": content, "path": f"row_{i}.png"}}


table = pa.table(
    {
        "image": pa.array(
            [row(i)["image"] for i in range(ROWS)], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ),
        "number": pa.array(range(ROWS), pa.int64()),
        "list": pa.array([[b"a", b"b"]] * ROWS, pa.list_(pa.binary())),
    }
)
small_pages = dict(data_page_size=200, write_batch_size=4, row_group_size=16)
os.makedirs(FOLDER, exist_ok=True)
for name, options in {
    "snappy_dictionary": dict(compression="snappy", row_group_size=16),
    "plain_pages_v2": dict(compression="snappy", use_dictionary=False, data_page_version="2.0", **small_pages),
    "gzip_plain": dict(compression="gzip", use_dictionary=False, **small_pages),
    "stored_pages_v2_dictionary": dict(compression="none", data_page_version="2.0", **small_pages),
    "zstd": dict(compression="zstd"),
}.items():
    pq.write_table(table, os.path.join(FOLDER, f"{name}.parquet"), **options)
