// Tensors x and y in buffers of their own.

@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}
