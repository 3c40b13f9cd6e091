// y = (x - mean) * invstd * weight + bias of one Value, as (x - near) * scale + offset with a float32 near the mean:
// x - near is exact for x near the mean, and nothing in it can be reassociated.

struct Affine {
    near: Value,
    scale: Value,
    offset: Value,
}

fn affine(r: Record, bias: Stat) -> Affine {
    let scale = stat_times(r.gamma, r.invstd);
    return Affine(spread(r.mean), spread(scale), spread(bias - stat_times(r.rest, scale)));
}

fn transform(x: Value, a: Affine) -> Value {
    return times(x - a.near, a.scale) + a.offset;
}
