// xhat = (x - mean) * invstd of what one invocation reads, as (x - near) * invstd + offset, like apply.wgsl.

struct Standardize {
    near: Stat,
    invstd: Stat,
    offset: Stat,
}

fn standardize_at(place: u32) -> Standardize {
    let invstd = record[at(INVSTD, place)];
    let offset = stat_times(record[at(REST, place)], invstd) * -1.0;
    return Standardize(record[at(MEAN, place)], invstd, offset);
}

// weight * invstd.
fn scale_at(place: u32) -> Stat {
    return stat_times(record[at(GAMMA, place)], record[at(INVSTD, place)]);
}
