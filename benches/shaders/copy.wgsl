// Copies x to y, `Value` (vec4<f32> or mat4x4<f32>) by Value: the roof of what a kernel can move on a device.

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;

override WORKGROUP: u32 = 64u;
override LOADS: u32 = 8u; // Values of an invocation of copy_many

@compute @workgroup_size(WORKGROUP)
fn copy_one(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let i = (id.x + id.y * size.x) * WORKGROUP + invocation;
    if i < arrayLength(&y) {
        y[i] = x[i];
    }
}

// A workgroup copies a run of WORKGROUP * LOADS Values, its invocations side by side.
@compute @workgroup_size(WORKGROUP)
fn copy_many(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let begin = (id.x + id.y * size.x) * WORKGROUP * LOADS + invocation;
    let end = min(begin + WORKGROUP * LOADS, arrayLength(&y));
    for (var i = begin; i < end; i += WORKGROUP) {
        y[i] = x[i];
    }
}
