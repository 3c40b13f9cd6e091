// Normalize and scale what one workgroup reads: y = (x - mean) * invstd * weight + bias, as (x - near) * scale + offset
// with a float32 near the mean: x - near is exact for x near the mean, and nothing in it can be reassociated.

fn apply(start: Walk, near_stat: Stat, rest: Stat, scale_stat: Stat, bias: Stat) {
    let near = spread(near_stat);
    let scale = spread(scale_stat);
    let offset = spread(bias - stat_times(rest, scale_stat));
    var walk = start;
    for (var i = 0u; i < start.left; i++) {
        y[walk.index] = times(load(walk.index) - near, scale) + offset;
        walk_next(&walk);
    }
}
