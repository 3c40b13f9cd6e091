// Normalize and scale what one workgroup reads: y = (x - mean) * invstd * weight + bias, as (x - near) * scale + offset
// with a float32 near the mean: x - near is exact for x near the mean, and nothing in it can be reassociated.

struct Affine {
    near: Stat,
    scale: Stat,
    offset: Stat,
}

fn affine_at(first: u32) -> Affine {
    var near: Stat;
    var scale: Stat;
    var offset: Stat;
    for (var k = 0u; k < SPAN; k++) {
        let feature = min(first + k, params.features - 1u);
        let r = record_of(feature);
        let s = r.invstd * r.weight;
        stat_put(&near, k, r.mean);
        stat_put(&scale, k, s);
        stat_put(&offset, k, bias_of(feature) - r.rest * s);
    }
    return Affine(near, scale, offset);
}

fn apply(start: Walk, affine: Affine) {
    var walk = start;
    let near = spread(affine.near);
    let scale = spread(affine.scale);
    let offset = spread(affine.offset);
    for (var i = 0u; i < start.left; i++) {
        y[walk.index] = times(load(walk.index) - near, scale) + offset;
        walk_next(&walk);
    }
}
