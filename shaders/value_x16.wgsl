// Value: what one invocation loads and stores at a time. Here sixteen float32 (64 bytes): a software adapter pays
// per load and lane, not per byte. Planes and rows are a multiple of sixteen long.

alias Value = mat4x4<f32>;
const WIDTH = 16u;

// Part: a Value whose columns are added up, the accumulator of one feature.
alias Part = vec4<f32>;

// Count: a number of batches for each column.
alias Count = array<vec4<u32>, 4>;

fn splat(s: f32) -> Value {
    let column = vec4<f32>(s);
    return mat4x4<f32>(column, column, column, column);
}

fn times(a: Value, b: Value) -> Value {
    return mat4x4<f32>(a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]);
}

fn part(v: Value) -> Part {
    return (v[0] + v[1]) + (v[2] + v[3]);
}

fn total(p: Part) -> f32 {
    return (p.x + p.y) + (p.z + p.w);
}

fn first(v: Value) -> f32 {
    return v[0].x;
}

// v ^ zero: the same bits, which no compiler can reassociate across.
fn opaque(v: Value, zero: u32) -> Value {
    let z = vec4<u32>(zero);
    return mat4x4<f32>(
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(v[0]) ^ z),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(v[1]) ^ z),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(v[2]) ^ z),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(v[3]) ^ z),
    );
}

// A step of Newton brings the device's inverseSqrt, of 2 ULP or worse, to about 1.
fn inverse_root(v: Value) -> Value {
    let r = mat4x4<f32>(inverseSqrt(v[0]), inverseSqrt(v[1]), inverseSqrt(v[2]), inverseSqrt(v[3]));
    return r + times(0.5 * r, splat(1.0) - times(times(v, r), r));
}

fn next(c: Count) -> Count {
    return Count(c[0] + 1u, c[1] + 1u, c[2] + 1u, c[3] + 1u);
}

fn reciprocal(c: Count) -> Value {
    return mat4x4<f32>(1.0 / vec4<f32>(c[0]), 1.0 / vec4<f32>(c[1]), 1.0 / vec4<f32>(c[2]), 1.0 / vec4<f32>(c[3]));
}
