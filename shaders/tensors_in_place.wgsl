// Tensor y takes the place of x.

@group(0) @binding(2) var<storage, read_write> y: array<Value>;

fn load(index: u32) -> Value {
    return y[index];
}
