// Copies x to y, `Value` (vec4<f32> or mat4x4<f32>) by Value: the roof of what a kernel can move on a device.

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;

override LANES: u32 = 64u;
override LOADS: u32 = 8u; // Values of an invocation of copy_many

@compute @workgroup_size(LANES)
fn copy_one(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (id.x + id.y * size.x) * LANES + lane;
    if i < arrayLength(&y) {
        y[i] = x[i];
    }
}

// A workgroup copies a run of LANES * LOADS Values, its invocations side by side.
@compute @workgroup_size(LANES)
fn copy_many(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = (id.x + id.y * size.x) * LANES * LOADS + lane;
    let end = min(begin + LANES * LOADS, arrayLength(&y));
    for (var i = begin; i < end; i += LANES) {
        y[i] = x[i];
    }
}
