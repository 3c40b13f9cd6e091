// Stat: a statistic as one invocation holds it. Here a Value: each column of what it reads is its own feature.

alias Stat = Value;

// StatCount: the batches that a Stat has seen.
alias StatCount = Count;

fn stat_splat(s: f32) -> Stat {
    return splat(s);
}

fn stat_times(a: Stat, b: Stat) -> Stat {
    return times(a, b);
}

fn stat_opaque(s: Stat) -> Stat {
    return opaque(s, params.zero);
}

fn stat_inverse_root(s: Stat) -> Stat {
    return inverse_root(s);
}

fn stat_next(c: StatCount) -> StatCount {
    return next(c);
}

fn stat_reciprocal(c: StatCount) -> Stat {
    return reciprocal(c);
}
