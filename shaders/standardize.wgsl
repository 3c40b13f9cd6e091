// xhat = (x - mean) * invstd of what one invocation reads, as (x - near) * invstd + offset, like apply.wgsl.

struct Standardize {
    near: Stat,
    invstd: Stat,
    offset: Stat,
}

fn standardize_at(first: u32) -> Standardize {
    var near: Stat;
    var invstd: Stat;
    var offset: Stat;
    for (var k = 0u; k < SPAN; k++) {
        let r = record[min(first + k, params.features - 1u)];
        stat_put(&near, k, r.mean);
        stat_put(&invstd, k, r.invstd);
        stat_put(&offset, k, -r.rest * r.invstd);
    }
    return Standardize(near, invstd, offset);
}
