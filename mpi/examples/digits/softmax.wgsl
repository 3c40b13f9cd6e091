
// Of train.rs: the kernels before this line, bindings and overrides. This one is the gradient of the mean cross-entropy
// of softmax(x) and labels, over a batch of which the rows here are a shard.

override BATCH: f32 = 1.0;

@compute @workgroup_size(64)
fn softmax_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&labels) {
        let first = id.x * OUTPUTS;
        var largest = x[first];
        for (var k = 1u; k < OUTPUTS; k++) {
            largest = max(largest, x[first + k]);
        }
        var total = 0.0;
        for (var k = 0u; k < OUTPUTS; k++) {
            total += exp(x[first + k] - largest);
        }
        for (var k = 0u; k < OUTPUTS; k++) {
            let target_value = select(0.0, 1.0, f32(k) == labels[id.x]);
            out[first + k] = (exp(x[first + k] - largest) / total - target_value) / BATCH;
        }
    }
}
