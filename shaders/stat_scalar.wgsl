// Stat: one statistic as an invocation holds it. Here a number: all that the invocation reads is of one feature.

alias Stat = f32;
const SPAN = 1u; // features in a Stat

fn stat_times(a: Stat, b: Stat) -> Stat {
    return a * b;
}

fn stat_pick(s: Stat, k: u32) -> f32 {
    return s;
}

fn stat_put(s: ptr<function, Stat>, k: u32, v: f32) {
    *s = v;
}

fn stat_opaque(s: Stat) -> Stat {
    return bitcast<f32>(bitcast<u32>(s) ^ params.zero);
}
