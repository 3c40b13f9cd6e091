// For measuring the loss around the present parameters.
//
// `move_along`: result = origin - rate · direction. With rate 0 it copies.
// Bindings: 0 Step, 1 origin, 2 direction, 3 result.
// Dispatch: ceil(length / 64) workgroups of 64 invocations, each on one value.
//
// `distance_squared`: adds Σ (left - right)² to sums[now.slot], so that several tensors make one distance.
// Bindings: 0 Step, 4 left, 5 right, 6 sums.
// Dispatch: 1 workgroup of 256 invocations, each on every 256th value.
//
// Preceded by step.wgsl and sum.wgsl.

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<storage, read> origin: array<f32>;
@group(0) @binding(2) var<storage, read> direction: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
@group(0) @binding(4) var<storage, read> left: array<f32>;
@group(0) @binding(5) var<storage, read> right: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn move_along(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&result) {
        result[id.x] = origin[id.x] - now.rate * direction[id.x];
    }
}

@compute @workgroup_size(256)
fn distance_squared(@builtin(local_invocation_index) invocation: u32) {
    var sum = 0.0;
    for (var i = invocation; i < arrayLength(&left); i += 256u) {
        let difference = left[i] - right[i];
        sum += difference * difference;
    }
    let all = workgroup_sum(invocation, sum);
    if invocation == 0u {
        sums[now.slot] += all;
    }
}
