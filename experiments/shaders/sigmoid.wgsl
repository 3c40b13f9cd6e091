// Sigmoid y = 1 / (1 + exp(-x)) and its gradient dx = dy · y · (1 - y).
//
// The gradient is computed in place: dx replaces dy.
// Bindings: `sigmoid` 0 x, 1 y; `sigmoid_backward` 0 y, 1 dy then dx. Lengths are padded to a multiple of 4.
// Dispatch: ceil(length / 256) workgroups of 64 invocations, each on 4 values.

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(64)
fn sigmoid(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&result) {
        // exp of the negative magnitude cannot overflow.
        let x = source[id.x];
        let e = exp(-abs(x));
        result[id.x] = select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
    }
}

@compute @workgroup_size(64)
fn sigmoid_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&result) {
        let y = source[id.x];
        result[id.x] *= y * (1.0 - y);
    }
}
