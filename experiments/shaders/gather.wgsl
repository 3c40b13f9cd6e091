// Picks a minibatch out of a data set that stays on the device: pixels are bytes, four to a word.
//
// Row r of the batch is example number examples[now.first + r]; its pixels times `scale` go to `inputs`, its
// label to `picked`.
// Bindings: 0 Step, 1 Batch, 2 pixels, 3 labels, 4 examples, 5 inputs, 6 picked.
// Dispatch: one workgroup per row; its 64 invocations each take every 64th pixel. Preceded by step.wgsl.

struct Batch {
    // Pixels per example.
    width: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> batch: Batch;
@group(0) @binding(2) var<storage, read> pixels: array<u32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> examples: array<u32>;
@group(0) @binding(5) var<storage, read_write> inputs: array<f32>;
@group(0) @binding(6) var<storage, read_write> picked: array<u32>;

@compute @workgroup_size(64)
fn gather(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let row = group.x;
    let example = examples[now.first + row];
    for (var column = invocation; column < batch.width; column += 64u) {
        let at = example * batch.width + column;
        let byte = (pixels[at / 4u] >> (8u * (at % 4u))) & 255u;
        inputs[row * batch.width + column] = f32(byte) * batch.scale;
    }
    if invocation == 0u {
        picked[row] = labels[example];
    }
}
