// Tensors x, dy and dx in buffers of their own.

@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> dx: array<Value>;
@group(0) @binding(7) var<storage, read> dy: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}

fn load_gradient(index: u32) -> Value {
    return dy[index];
}
