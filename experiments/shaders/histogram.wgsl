// Counts values in 64 equal intervals around 0. The outermost intervals take what lies beyond them, and NaN one of them.
//
// Bindings: 0 intervals per unit, 1 the values, 2 the counts.
// Dispatch: 1 workgroup of 256 invocations, each on every 256th value.

const BINS = 64u;

@group(0) @binding(0) var<uniform> per_unit: f32;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

var<workgroup> bins: array<atomic<u32>, BINS>;

@compute @workgroup_size(256)
fn histogram(@builtin(local_invocation_index) invocation: u32) {
    for (var i = invocation; i < arrayLength(&values); i += 256u) {
        // The clamp comes before the conversion, which is not defined beyond the range of integers.
        let place = clamp(values[i] * per_unit + f32(BINS / 2u), 0.0, f32(BINS) - 0.5);
        atomicAdd(&bins[u32(place)], 1u);
    }
    workgroupBarrier();
    if invocation < BINS {
        counts[invocation] = atomicLoad(&bins[invocation]);
    }
}
