// Tensor dx takes the place of dy. x may be in another range of their buffer: WebGPU wants one access mode for it.

@group(0) @binding(1) var<storage, read_write> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> dx: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}

fn load_gradient(index: u32) -> Value {
    return dx[index];
}
