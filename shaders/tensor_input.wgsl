// Tensor x alone.

@group(0) @binding(1) var<storage, read> x: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}
