// Kernels of the program's own, around its layers. Every binding is a range of the same buffer, hence read_write:
// WebGPU does not let one dispatch use a buffer as read-only and as read_write.

@group(0) @binding(0) var<storage, read_write> batch: u32;
@group(0) @binding(1) var<storage, read_write> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

const FEATURES = 16u;
const HEIGHT = 12u;
const WIDTH = 12u;

// Noise made from the number of the value and of the batch (the PCG hash): uniform, of another size in each feature.
@compute @workgroup_size(64)
fn generate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&output) {
        let seed = (batch * arrayLength(&output) + id.x) * 747796405u + 2891336453u;
        let word = ((seed >> ((seed >> 28u) + 4u)) ^ seed) * 277803737u;
        let size = 1u + id.x / (HEIGHT * WIDTH) % FEATURES;
        output[id.x] = f32(word >> 8u) / 16777216.0 * f32(size);
    }
}

// ReLU, then the sum of each line of an image; counts the batch.
@compute @workgroup_size(64)
fn relu_sum(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x == 0u {
        batch += 1u;
    }
    if id.x < arrayLength(&output) {
        var sum = 0.0;
        for (var i = 0u; i < WIDTH; i++) {
            sum += max(input[id.x * WIDTH + i], 0.0);
        }
        output[id.x] = sum;
    }
}
