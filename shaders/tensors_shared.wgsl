// Tensors x and y in different ranges of one buffer: WebGPU wants one access mode for the whole buffer.

@group(0) @binding(1) var<storage, read_write> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;

fn load(index: u32) -> Value {
    return x[index];
}
