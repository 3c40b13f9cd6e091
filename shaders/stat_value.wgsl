// Stat: one statistic as an invocation holds it. Here a Value: each column of what it reads is its own feature.

alias Stat = Value;
const SPAN = WIDTH; // features in a Stat

fn stat_times(a: Stat, b: Stat) -> Stat {
    return times(a, b);
}

fn stat_pick(s: Stat, k: u32) -> f32 {
    return pick(s, k);
}

fn stat_put(s: ptr<function, Stat>, k: u32, v: f32) {
    put(s, k, v);
}

fn stat_opaque(s: Stat) -> Stat {
    return opaque(s, params.zero);
}
