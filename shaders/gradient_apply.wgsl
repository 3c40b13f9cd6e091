// dx = weight * invstd * (dy - mean(dy) - xhat * mean(dy * xhat)) of what one workgroup reads (Ioffe & Szegedy 2015,
// section 3, with the biased variance). Where running statistics normalized, the two means are 0.

fn apply(start: Walk, s: Standardize, scale_stat: Stat, means: Sums) {
    let near = spread(s.near);
    let invstd = spread(s.invstd);
    let offset = spread(s.offset);
    let scale = spread(scale_stat);
    let mean = spread(means.dy);
    let slope = spread(means.dy_xhat);
    var walk = start;
    for (var i = 0u; i < start.left; i++) {
        let xhat = times(load(walk.index) - near, invstd) + offset;
        dx[walk.index] = times(load_gradient(walk.index) - mean - times(xhat, slope), scale);
        walk_next(&walk);
    }
}
