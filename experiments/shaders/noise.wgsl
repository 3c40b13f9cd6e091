// The noise of Santurkar et al. 2018 ("noisy batch norm"): y = s·x + m, where every step draws for each
// feature a mean shift in ±SHIFT and a mean scale in 1..SCALE, and around them each value draws its own m
// (± JITTER, uniform) and s (normal, deviation JITTER). The backward pass draws the same s: dx = s·dy.
//
// Works in place. Bindings: 0 Step, 1 (values, features, number of this layer), 2 x then y, or dy then dx.
// Dispatch: ceil(values / 64) workgroups of 64 invocations, each on one value. Preceded by step.wgsl and
// random.wgsl.

const SHIFT: f32 = 0.5;
const SCALE: f32 = 1.25;
const JITTER: f32 = 0.1;

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> size: vec3<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;

// Of value or feature `index`.
fn uniform_at(index: u32, draw: u32) -> f32 {
    return random_at(index, draw + 8u * size.z, now);
}

fn scale_at(i: u32) -> f32 {
    let mean = mix(1.0, SCALE, uniform_at(i % size.y, 0u));
    // Box-Muller.
    let normal = sqrt(-2.0 * log(uniform_at(i, 1u))) * cos(6.2831853 * uniform_at(i, 2u));
    return mean + JITTER * normal;
}

fn shift_at(i: u32) -> f32 {
    let mean = mix(-SHIFT, SHIFT, uniform_at(i % size.y, 3u));
    return mean + mix(-JITTER, JITTER, uniform_at(i, 4u));
}

@compute @workgroup_size(64)
fn noise(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < size.x {
        values[id.x] = scale_at(id.x) * values[id.x] + shift_at(id.x);
    }
}

@compute @workgroup_size(64)
fn noise_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < size.x {
        values[id.x] *= scale_at(id.x);
    }
}
