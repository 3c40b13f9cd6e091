// What the driver tells every dispatch. Twin: `Params` in src/kernels/params.rs.

struct Params {
    groups: u32,         // workgroups that have work; a dispatch folded into two dimensions has a few more
    splits: u32,         // workgroups that share a feature (planes) or a tile of a row (rows)
    slice: u32,          // packets of a feature (planes) or rows (rows) in a split
    total: u32,          // packets of a feature (planes) or rows (rows) in all
    plane: u32,          // packets in a plane (planes) or in a row (rows)
    step_index: u32,     // what the next packet of an invocation adds to its index ...
    step_inner: u32,     // ... and, in planes, to its place in the plane
    jump: u32,           // planes: packets of the other features between two planes of one
    first: u32,          // packets before the tensor's first in what is bound
    slots: u32,          // features (planes) or packets in a row (rows): what tiles are cut from
    stride: u32,         // Stats from one vector of C values to the next in a buffer of several
    zero: u32,           // 0, which no compiler knows
    update_running: u32, // 1: move the running statistics and count the batch
    use_running: u32,    // 1: normalize with the running statistics as they were
    accumulate: u32,     // 1: add to weight_gradient and bias_gradient instead of overwriting them
    unbiased: f32,       // 1: the running variance takes the unbiased estimate; 0: the biased one
    eps: f32,
    slope: f32,          // of leaky ReLU's negative half
    momentum: f32,       // share of the batch in the new running statistics; negative: 1 / batches, cumulative
    number: u32,         // with a mask: packets of a feature (planes) or rows (rows) before those of this dispatch
}

@group(0) @binding(0) var<uniform> params: Params;

// Workgroup size, and how many slots a workgroup takes side by side (its tile); powers of two.
override WORKGROUP: u32 = 8u;
override TILE: u32 = 1u;
