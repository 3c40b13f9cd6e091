// Stochastic gradient descent: parameter -= rate · gradient.
//
// Bindings: 0 Step, 1 parameters, 2 gradients.
// Dispatch: ceil(length / 64) workgroups of 64 invocations, each on one value. Preceded by step.wgsl.

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(2) var<storage, read> gradients: array<f32>;

@compute @workgroup_size(64)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&parameters) {
        parameters[id.x] -= now.rate * gradients[id.x];
    }
}
