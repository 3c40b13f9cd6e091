#!/usr/bin/env python3
"""Generate cases at the edges of float32, to compare a layer's errors with those of PyTorch's float32:

    pip install torch numpy
    python3 tests/data/scripts/gen_edges.py --out REFERENCES
    cargo run --release --example conformance -- REFERENCES/*.safetensors --out RESULTS
    python3 tests/data/scripts/errors.py RESULTS REFERENCES

They are not kept in the repository, as they take 0.6 GB.
"""
from gen_goldens import Case, main

SEED = 20150213

EDGES = (
    [Case(f"count_2_to_the_{k}", "nc", (2**k, 1), data="mixed", eval_batch=2) for k in (1, 2, 4, 8, 12, 16, 20, 24)]
    + [Case(f"mean_{mean}", "nc", (4096, 4), data=f"mean {mean}") for mean in ("1e3", "1e5", "1e6", "1e7")]
    + [Case(f"std_{std}", "nc", (4096, 4), data=f"std {std}", eps=1e-36) for std in ("1e-15", "1e-12", "1e-6", "1e6", "1e12", "1e18")]
    + [Case("constants", "nc", (16, 2560), data="constants", eval_batch=2)]
    + [Case("pairs", "nc", (2, 4096), data="pairs", eval_batch=2)]
)

if __name__ == "__main__":
    main(__doc__, EDGES, SEED)
