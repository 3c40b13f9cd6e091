// Rectifier y = max(x, 0) and its gradient dx = dy where y > 0, else 0. A NaN stays a NaN.
//
// The gradient is computed in place: dx replaces dy.
// Bindings: `relu` 0 x, 1 y; `relu_backward` 0 y, 1 dy then dx. Lengths are padded to a multiple of 4.
// Dispatch: ceil(length / 256) workgroups of 64 invocations, each on 4 values.

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(64)
fn relu(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&result) {
        let x = source[id.x];
        result[id.x] = select(x, vec4(0.0), x < vec4(0.0));
    }
}

@compute @workgroup_size(64)
fn relu_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&result) {
        result[id.x] = select(vec4(0.0), result[id.x], source[id.x] > vec4(0.0));
    }
}
