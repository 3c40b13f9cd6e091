#!/usr/bin/env python3
"""Generate the cases of ../pytorch-extra: what the public set of gen_goldens.py leaves out.

    pip install torch numpy
    python gen_extra.py --out DIR
"""
from gen_goldens import Case, main

EXTRA_SEED = 20150212

EXTRA = [
    Case("nlc_5x7x6", "nlc", (5, 7, 6)),
    Case("nhwc_4x5x6x16", "nhwc", (4, 5, 6, 16), eps=1e-3),
    Case("ndhwc_2x3x5x4x3_mnone", "ndhwc", (2, 3, 5, 4, 3), momentum=None, batches_before=3,
         note="fourth batch: factor 1/4"),
    Case("nhwc_2x3x3x7_nonfinite", "nhwc", (2, 3, 3, 7), data="nonfinite",
         note="x: feature 1 NaN, 3 +Inf, 4 -Inf, 6 both; features 0, 2, 5 must be as if alone"),
    Case("nc_64x4_overflow", "nc", (64, 4), data="overflow",
         note="the variance of features 0 and 2 is beyond float32; features 1 and 3 must be as if alone"),
    Case("nhwc_9x40x41x33_sampled", "nhwc", (9, 40, 41, 33), storage="sampled"),
]

if __name__ == "__main__":
    main(__doc__, EXTRA, EXTRA_SEED)
