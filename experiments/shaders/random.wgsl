// Numbers drawn at random: the same for the same seed, step, draw and index. Preceded by step.wgsl.

// PCG hash (Jarzynski and Olano 2020).
fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// Uniform in (0, 1): draw number `draw` for `index`.
fn random_at(index: u32, draw: u32, now: Step) -> f32 {
    let bits = hash(index + hash(draw + hash(now.seed + hash(now.slot))));
    return (f32(bits >> 8u) + 0.5) / 16777216.0;
}
