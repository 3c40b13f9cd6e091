// What the driver tells every kernel of one prepared work. Twin: `Params` in src/params.rs.

struct Params {
    groups: u32,          // workgroups that have work; a dispatch folded into two dimensions has a few more
    chunks: u32,          // workgroups per feature (planes) or block of columns (rows)
    chunk: u32,           // Values of a feature (planes) or rows (rows) in a chunk
    total: u32,           // Values of a feature (planes) or rows (rows) in all
    plane: u32,           // planes: Values in a plane; rows: Values in a row
    step_index: u32,      // what the next Value of an invocation adds to its index ...
    step_inner: u32,      // ... and, planes, to its place in the plane
    jump: u32,            // planes: Values of the other features between two planes of one
    places: u32,          // Stats in a vector of C values, such as the weight
    stride: u32,          // Stats from one such vector to the next in a buffer of several
    zero: u32,            // 0, unknown to the compiler
    update_running: u32,  // 1: move the running statistics and count the batch
    use_running: u32,     // 1: normalize with the running statistics as they were
    accumulate: u32,      // 1: add to weight_gradient and bias_gradient instead of overwriting them
    count: f32,           // values per feature
    chunk_count: f32,     // values per feature in a chunk ...
    last_count: f32,      // ... and in the last one
    unit: f32,            // a power of two up to 1/sqrt(count): squares of deviations are kept times unit^2
    variance_of_square: f32, // 1 / (count * unit^2)
    running_scale: f32,   // count / (count - 1) for the unbiased running variance, 1 for the biased one
    eps: f32,
    momentum: f32,        // share of the batch in the new running statistics; negative: 1 / batches, cumulative
}

@group(0) @binding(0) var<uniform> params: Params;

// Invocations in a workgroup, and Stats (features, or Values in a row) that it works on side by side; powers of two.
override LANES: u32 = 8u;
override COLUMNS: u32 = 1u;
