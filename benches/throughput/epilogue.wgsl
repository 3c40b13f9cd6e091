// What a user would write beside the layer: kernels of 16 values to an invocation. Neighbours in a workgroup read
// neighbours, in four strides.

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> g: array<vec4<f32>>;

const INVOCATIONS = 64u;

fn first_of(group: u32, invocation: u32) -> u32 {
    return group * 4u * INVOCATIONS + invocation;
}

// y = max(y, 0)
@compute @workgroup_size(INVOCATIONS)
fn rectify(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let first = first_of(id.x + id.y * size.x, invocation);
    for (var k = 0u; k < 4u; k++) {
        let i = first + k * INVOCATIONS;
        if i < arrayLength(&y) {
            y[i] = max(y[i], vec4<f32>(0.0));
        }
    }
}

// y = max(y + z, 0)
@compute @workgroup_size(INVOCATIONS)
fn add_and_rectify(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let first = first_of(id.x + id.y * size.x, invocation);
    for (var k = 0u; k < 4u; k++) {
        let i = first + k * INVOCATIONS;
        if i < arrayLength(&y) {
            y[i] = max(y[i] + z[i], vec4<f32>(0.0));
        }
    }
}

// g = dy where y > 0, else 0: the gradient of what was rectified, and so of z.
@compute @workgroup_size(INVOCATIONS)
fn gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let first = first_of(id.x + id.y * size.x, invocation);
    for (var k = 0u; k < 4u; k++) {
        let i = first + k * INVOCATIONS;
        if i < arrayLength(&y) {
            g[i] = select(vec4<f32>(0.0), dy[i], y[i] > vec4<f32>(0.0));
        }
    }
}
