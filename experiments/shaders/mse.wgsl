// Mean-squared error: loss = Σ (prediction - target)² / n, gradient = 2 (prediction - target) / n.
//
// Bindings: 0 Step, 1 prediction, 2 target, 3 gradient, 4 losses (this one goes to losses[now.slot]).
// Dispatch: 1 workgroup of 256 invocations, each on every 256th value. Preceded by step.wgsl and sum.wgsl.

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<storage, read> prediction: array<f32>;
@group(0) @binding(2) var<storage, read> expected: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(256)
fn mse(@builtin(local_invocation_index) invocation: u32) {
    let count = arrayLength(&expected);
    var sum = 0.0;
    for (var i = invocation; i < count; i += 256u) {
        let difference = prediction[i] - expected[i];
        gradient[i] = 2.0 * difference / f32(count);
        sum += difference * difference;
    }
    let all = workgroup_sum(invocation, sum);
    if invocation == 0u {
        losses[now.slot] = all / f32(count);
    }
}
