// The sum of the squares of values, for the norm of a gradient.
//
// Bindings: 0 which of the sums to write, 1 the values, 2 the sums.
// Dispatch: 1 workgroup of 256 invocations, each on every 256th value. Preceded by sum.wgsl.

@group(0) @binding(0) var<uniform> slot: u32;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(256)
fn squares(@builtin(local_invocation_index) invocation: u32) {
    var sum = 0.0;
    for (var i = invocation; i < arrayLength(&values); i += 256u) {
        sum += values[i] * values[i];
    }
    let all = workgroup_sum(invocation, sum);
    if invocation == 0u {
        sums[slot] = all;
    }
}
