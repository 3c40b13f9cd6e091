// Stat: a statistic as one invocation holds it. Here a number: all that the invocation reads is of one feature.

alias Stat = f32;

// StatCount: the batches that a Stat has seen.
alias StatCount = u32;

fn stat_splat(s: f32) -> Stat {
    return s;
}

fn stat_times(a: Stat, b: Stat) -> Stat {
    return a * b;
}

fn stat_opaque(s: Stat) -> Stat {
    return bitcast<f32>(bitcast<u32>(s) ^ params.zero);
}

// A step of Newton brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn stat_inverse_root(s: Stat) -> Stat {
    let r = inverseSqrt(s);
    return r + 0.5 * r * (1.0 - (s * r) * r);
}

fn stat_next(c: StatCount) -> StatCount {
    return c + 1u;
}

fn stat_reciprocal(c: StatCount) -> Stat {
    return 1.0 / f32(c);
}
