// What a convolutional network needs beside batch normalization, as simple as it can be: an invocation per value written.
// Tensors are channels-first.

override OUTPUTS: u32 = 1u; // channels, height and width of y ...
override OUT_HEIGHT: u32 = 1u;
override OUT_WIDTH: u32 = 1u;
override INPUTS: u32 = 1u; // ... and of x
override IN_HEIGHT: u32 = 1u;
override IN_WIDTH: u32 = 1u;
override GROUP_INPUTS: u32 = 1u; // inputs of a group
override KERNEL: u32 = 1u; // height and width
override DOWN: u32 = 1u; // stride
override RIGHT: u32 = 1u;
override TOTAL: u32 = 1u; // values of y
override WIDE: u32 = 1u; // workgroups in a row of the dispatch
override ACTIVATION: u32 = 1u;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

struct Place {
    exists: bool,
    index: u32,
    image: u32,
    channel: u32,
    row: u32,
    column: u32,
}

fn place(group: vec3<u32>, local: u32) -> Place {
    let i = (group.y * WIDE + group.x) * 64u + local;
    // An invocation too many works like the last one, and writes nothing: old versions of Mesa's software driver hang in
    // loops where all invocations have returned.
    let index = min(i, TOTAL - 1u);
    let row = index / OUT_WIDTH;
    let channel = row / OUT_HEIGHT;
    let image = channel / OUTPUTS;
    return Place(i < TOTAL, index, image, channel % OUTPUTS, row % OUT_HEIGHT, index % OUT_WIDTH);
}

@compute @workgroup_size(64)
fn convolve(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local);
    let groups = INPUTS / GROUP_INPUTS;
    let first = at.channel / (OUTPUTS / groups) * GROUP_INPUTS;
    var sum = bias[at.channel];
    for (var input = 0u; input < GROUP_INPUTS; input++) {
        let plane = (at.image * INPUTS + first + input) * IN_HEIGHT;
        for (var i = 0u; i < KERNEL; i++) {
            let row = at.row * DOWN + i - KERNEL / 2u; // beyond in_height where it is negative
            for (var j = 0u; j < KERNEL; j++) {
                let column = at.column * RIGHT + j - KERNEL / 2u;
                if row < IN_HEIGHT && column < IN_WIDTH {
                    let tap = ((at.channel * GROUP_INPUTS + input) * KERNEL + i) * KERNEL + j;
                    sum += weight[tap] * x[(plane + row) * IN_WIDTH + column];
                }
            }
        }
    }
    if at.exists {
        y[at.index] = sum;
    }
}

// In place: ReLU, hard swish or hard sigmoid.
@compute @workgroup_size(64)
fn activate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local);
    if at.exists {
        let v = y[at.index];
        switch ACTIVATION {
            case 1u: { y[at.index] = max(v, 0.0); }
            case 2u: { y[at.index] = v * clamp(v + 3.0, 0.0, 6.0) / 6.0; }
            default: { y[at.index] = clamp(0.2 * v + 0.5, 0.0, 1.0); }
        }
    }
}

// The mean of each plane of x, after the largest of each `kernel` × `kernel` values.
@compute @workgroup_size(64)
fn pool(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local);
    let rows = IN_HEIGHT / KERNEL;
    let columns = IN_WIDTH / KERNEL;
    var sum = 0.0;
    for (var i = 0u; i < rows * columns; i++) {
        var largest = -3.0e38;
        for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
            let row = i / columns * KERNEL + tap / KERNEL;
            let column = i % columns * KERNEL + tap % KERNEL;
            largest = max(largest, x[(at.index * IN_HEIGHT + row) * IN_WIDTH + column]);
        }
        sum += largest;
    }
    if at.exists {
        y[at.index] = sum / f32(rows * columns);
    }
}

// y · x, with one x for each plane of y.
@compute @workgroup_size(64)
fn scale(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local);
    if at.exists {
        y[at.index] *= x[at.image * OUTPUTS + at.channel];
    }
}

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = place(group, local);
    if at.exists {
        y[at.index] += x[at.index];
    }
}
