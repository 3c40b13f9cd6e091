#!/usr/bin/env python3
"""Worst errors of y (by the tensor's largest value) and running_var (by itself) over the PyTorch files, by kind of
data: of the results that the conformance example wrote, and of PyTorch's own float32 results in the files.

    cargo run --release --example conformance -- tests/data/pytorch/*.safetensors --out DIR
    python3 tests/data/scripts/errors.py DIR

Another folder of PyTorch files can be named behind it, such as gen_edges.py's. Then each file has a row.
"""
import glob
import json
import os
import sys

import numpy as np

DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}


def load(path):
    with open(path, "rb") as f:
        data = f.read()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    meta = header.pop("__metadata__")
    span = lambda v: data[begin + v["data_offsets"][0]:begin + v["data_offsets"][1]]
    return {k: np.frombuffer(span(v), DTYPES[v["dtype"]]).astype(float) for k, v in header.items()}, meta


def error(tensor, got, truth):
    ok = np.isfinite(truth)
    scale = np.abs(truth[ok]) if tensor == "running_var" else np.abs(truth[ok]).max()
    return np.nan_to_num(np.abs(got[ok] - truth[ok]) / np.maximum(scale, 1e-37), nan=np.inf).max()


worst = {}
here = os.path.dirname(os.path.abspath(__file__))
references = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "../pytorch")
for path in sorted(glob.glob(os.path.join(references, "*.safetensors"))):
    reference, meta = load(path)
    ours, _ = load(os.path.join(sys.argv[1], os.path.basename(path)))
    for name in reference:
        tensor, dot, step = name.partition(".")
        if tensor in ("y", "running_var"):
            truth = reference[tensor + "64" + dot + step]
            kind = meta["name"] if len(sys.argv) > 2 else meta["data"]
            row = worst.setdefault((kind, tensor), [0.0, 0.0])
            row[:] = max(row[0], error(tensor, ours[name], truth)), max(row[1], error(tensor, reference[name], truth))
print("| data | tensor | this crate | PyTorch float32 |\n| --- | --- | --- | --- |")
for (data, tensor), (own, torch) in sorted(worst.items()):
    print(f"| {data} | {tensor} | {own:.1e} | {torch:.1e} |")
