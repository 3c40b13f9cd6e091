// The kernels of train.rs: dense layers without bias, the gradient of the loss, gradient descent.
// A tensor holds rows of INPUTS or OUTPUTS values. The size of its binding says how many rows there are.

override INPUTS: u32 = 1u;
override OUTPUTS: u32 = 1u;
override RELU: bool = false; // whether the layer applies ReLU to its input
override RATE: f32 = 0.0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;   // (OUTPUTS, INPUTS)
@group(0) @binding(2) var<storage, read> gradient: array<f32>; // of the loss, with respect to y or to parameters
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read> labels: array<f32>;

fn input(i: u32) -> f32 {
    return select(x[i], max(x[i], 0.0), RELU);
}

// y = input · weightᵀ
@compute @workgroup_size(64)
fn dense(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&out) {
        let row = id.x / OUTPUTS;
        let output = id.x % OUTPUTS;
        var sum = 0.0;
        for (var i = 0u; i < INPUTS; i++) {
            sum += input(row * INPUTS + i) * weight[output * INPUTS + i];
        }
        out[id.x] = sum;
    }
}

// dx = (dy · weight), and 0 where ReLU gave 0
@compute @workgroup_size(64)
fn input_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&out) {
        let row = id.x / INPUTS;
        let column = id.x % INPUTS;
        var sum = 0.0;
        for (var o = 0u; o < OUTPUTS; o++) {
            sum += gradient[row * OUTPUTS + o] * weight[o * INPUTS + column];
        }
        out[id.x] = select(sum, 0.0, RELU && x[id.x] <= 0.0);
    }
}

// dweight = dyᵀ · input
@compute @workgroup_size(64)
fn weight_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&out) {
        let output = id.x / INPUTS;
        let column = id.x % INPUTS;
        var sum = 0.0;
        for (var row = 0u; row < arrayLength(&gradient) / OUTPUTS; row++) {
            sum += gradient[row * OUTPUTS + output] * input(row * INPUTS + column);
        }
        out[id.x] = sum;
    }
}

// The loss is the mean cross-entropy of sigmoid(x) and labels of 0 and 1.
@compute @workgroup_size(64)
fn loss_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&out) {
        out[id.x] = (1.0 / (1.0 + exp(-x[id.x])) - labels[id.x]) / f32(arrayLength(&out));
    }
}

@compute @workgroup_size(64)
fn descend(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&out) {
        out[id.x] -= RATE * gradient[id.x];
    }
}
