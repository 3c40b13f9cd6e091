// Tensors x and dy, to be read only.

@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(7) var<storage, read> dy: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}

fn load_gradient(index: u32) -> Value {
    return dy[index];
}
