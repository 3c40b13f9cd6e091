// Dropout (Srivastava et al. 2014): a share of the values becomes 0 at random, the others are y = x / (1 - share).
//
// Each step and each layer drops others. The backward pass draws the same, dx = dy / (1 - share) or 0, in place.
// Bindings: 0 Step, 1 Drop; `dropout` 2 y, 3 x; `dropout_backward` 2 dy then dx.
// Dispatch: ceil(values / 64) workgroups of 64 invocations, each on one value. Preceded by step.wgsl and
// random.wgsl.

struct Drop {
    values: u32,
    // Number of this layer.
    layer: u32,
    share: f32,
}

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> drop: Drop;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read> source: array<f32>;

fn kept(index: u32) -> f32 {
    return select(0.0, 1.0 / (1.0 - drop.share), random_at(index, drop.layer, now) >= drop.share);
}

@compute @workgroup_size(64)
fn dropout(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < drop.values {
        result[id.x] = kept(id.x) * source[id.x];
    }
}

@compute @workgroup_size(64)
fn dropout_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < drop.values {
        result[id.x] *= kept(id.x);
    }
}
