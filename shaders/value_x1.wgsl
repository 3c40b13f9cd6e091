// Value: what one invocation loads and stores at a time. Here one float32, for planes and rows of any length.

alias Value = f32;
const WIDTH = 1u;

// Part: a Value whose columns are added up, the accumulator of one feature.
alias Part = f32;

// Count: a number of batches for each column.
alias Count = u32;

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

fn first(v: Value) -> f32 {
    return v;
}

// v ^ zero: the same bits, which no compiler can reassociate across.
fn opaque(v: Value, zero: u32) -> Value {
    return bitcast<f32>(bitcast<u32>(v) ^ zero);
}

// A step of Newton brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn inverse_root(v: Value) -> Value {
    let r = inverseSqrt(v);
    return r + 0.5 * r * (1.0 - (v * r) * r);
}

fn next(c: Count) -> Count {
    return c + 1u;
}

fn reciprocal(c: Count) -> Value {
    return 1.0 / f32(c);
}
