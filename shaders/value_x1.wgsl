// Value: what one invocation loads and stores at a time. Here one float32, for planes and rows of any length.

alias Value = f32;
const WIDTH = 1u;

// Part: a Value whose columns are added up, the accumulator of one feature.
alias Part = f32;

fn splat(s: f32) -> Value {
    return s;
}

fn times(a: Value, b: Value) -> Value {
    return a * b;
}

fn part(v: Value) -> Part {
    return v;
}

fn total(p: Part) -> f32 {
    return p;
}

fn pick(v: Value, k: u32) -> f32 {
    return v;
}

fn put(v: ptr<function, Value>, k: u32, s: f32) {
    *v = s;
}

// v ^ zero: the same bits, which no compiler can reassociate across.
fn opaque(v: Value, zero: u32) -> Value {
    return bitcast<f32>(bitcast<u32>(v) ^ zero);
}
