// xhat = (x - mean) * invstd of one Value, as (x - near) * invstd + offset, like affine.wgsl.

struct Standardize {
    near: Value,
    invstd: Value,
    offset: Value,
}

fn standardize_at(place: u32) -> Standardize {
    let invstd = record[at(INVSTD, place)];
    let offset = stat_times(record[at(REST, place)], invstd) * -1.0;
    return Standardize(spread(record[at(MEAN, place)]), spread(invstd), spread(offset));
}

fn standardized(x: Value, s: Standardize) -> Value {
    return times(x - s.near, s.invstd) + s.offset;
}
