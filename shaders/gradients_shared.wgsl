// Tensors x, dy and what is written in different ranges of one buffer: WebGPU wants one access mode for all of it.

@group(0) @binding(1) var<storage, read_write> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> dx: array<Value>;
@group(0) @binding(7) var<storage, read_write> dy: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}

fn load_gradient(index: u32) -> Value {
    return dy[index];
}
