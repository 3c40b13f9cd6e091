// dx = weight * invstd * (dy - mean(dy) - xhat * mean(dy * xhat)) of what one workgroup reads (Ioffe & Szegedy 2015,
// section 3, with the biased variance). Where running statistics normalized, the two means are left out.

fn apply(start: Walk, s: Standardize, scale_stat: Stat, dy_mean: Stat, dy_xhat_mean: Stat) {
    let near = spread(s.near);
    let invstd = spread(s.invstd);
    let offset = spread(s.offset);
    let scale = spread(scale_stat);
    let mean = spread(dy_mean);
    let slope = spread(dy_xhat_mean);
    var walk = start;
    for (var i = 0u; i < start.left; i++) {
        let xhat = times(load(walk.index) - near, invstd) + offset;
        dx[walk.index] = times(load_gradient(walk.index) - mean - times(xhat, slope), scale);
        walk_next(&walk);
    }
}

fn scale_at(first: u32) -> Stat {
    var scale: Stat;
    for (var k = 0u; k < SPAN; k++) {
        let r = record[min(first + k, params.features - 1u)];
        stat_put(&scale, k, r.weight * r.invstd);
    }
    return scale;
}
