// Value: what one invocation loads and stores at a time. Here sixteen float32 (64 bytes): a software adapter pays
// per load and lane, not per byte. Planes and rows are a multiple of sixteen long.

alias Value = mat4x4<f32>;
const WIDTH = 16u;

// Part: a Value whose columns are added up, the accumulator of one feature.
alias Part = vec4<f32>;

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

fn pick(v: Value, k: u32) -> f32 {
    return v[k / 4u][k % 4u];
}

fn put(v: ptr<function, Value>, k: u32, s: f32) {
    (*v)[k / 4u][k % 4u] = s;
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
