// The sum of what the 256 invocations of a workgroup hold. All of them call it, and the first of them gets it.

var<workgroup> partials: array<f32, 256>;

fn workgroup_sum(invocation: u32, mine: f32) -> f32 {
    partials[invocation] = mine;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if invocation < half {
            partials[invocation] += partials[invocation + half];
        }
    }
    return partials[invocation];
}
