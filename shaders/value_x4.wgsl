// Value: what one invocation loads and stores at a time. Here four float32 (16 bytes), the widest load of a GPU;
// planes and rows are a multiple of four long.

alias Value = vec4<f32>;
const WIDTH = 4u;

// Part: a Value whose columns are added up, the accumulator of one feature.
alias Part = vec4<f32>;

// Count: a number of batches for each column.
alias Count = vec4<u32>;

fn splat(s: f32) -> Value {
    return vec4<f32>(s);
}

fn times(a: Value, b: Value) -> Value {
    return a * b;
}

fn part(v: Value) -> Part {
    return v;
}

fn total(p: Part) -> f32 {
    return (p.x + p.y) + (p.z + p.w);
}

fn first(v: Value) -> f32 {
    return v.x;
}

// v ^ zero: the same bits, which no compiler can reassociate across.
fn opaque(v: Value, zero: u32) -> Value {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4<u32>(zero));
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
    return 1.0 / vec4<f32>(c);
}
