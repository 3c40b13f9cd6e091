// Softmax and cross-entropy, averaged over the rows: loss = mean of -log softmax(logits)[label], gradient =
// (softmax(logits) - onehot(label)) / rows, and how many rows have their largest logit at the label.
//
// Bindings: 0 Step, 1 (rows, classes), 2 logits, 3 labels, 4 gradient, 5 losses and 6 correct counts (this
// step's go to index now.slot).
// Dispatch: 1 workgroup of 256 invocations, each on every 256th row. Preceded by step.wgsl.

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> size: vec2<u32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> correct: array<u32>;

var<workgroup> partials: array<f32, 256>;
var<workgroup> hits: array<u32, 256>;

@compute @workgroup_size(256)
fn cross_entropy(@builtin(local_invocation_index) invocation: u32) {
    let rows = size.x;
    let classes = size.y;
    var sum = 0.0;
    var hit = 0u;
    for (var row = invocation; row < rows; row += 256u) {
        let first = row * classes;
        let label = labels[row];
        var largest = logits[first];
        var best = 0u;
        for (var k = 1u; k < classes; k++) {
            let value = logits[first + k];
            if value > largest {
                largest = value;
                best = k;
            }
        }
        // Relative to the largest, so that exp cannot overflow.
        var total = 0.0;
        for (var k = 0u; k < classes; k++) {
            total += exp(logits[first + k] - largest);
        }
        for (var k = 0u; k < classes; k++) {
            let probability = exp(logits[first + k] - largest) / total;
            gradient[first + k] = (probability - select(0.0, 1.0, k == label)) / f32(rows);
        }
        sum += log(total) - (logits[first + label] - largest);
        hit += select(0u, 1u, best == label);
    }
    partials[invocation] = sum;
    hits[invocation] = hit;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if invocation < half {
            partials[invocation] += partials[invocation + half];
            hits[invocation] += hits[invocation + half];
        }
    }
    if invocation == 0u {
        losses[now.slot] = partials[0] / f32(rows);
        correct[now.slot] = hits[0];
    }
}
