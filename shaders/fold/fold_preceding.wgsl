// fold_preceding: the weight and bias of a linear or convolutional layer with the evaluation of a batch norm after it in them.
// An invocation per weight, and per output. Reads the weight, the bias and the batch norm's vectors, writes weight and bias:
// 8 bytes per weight. Stands alone but for inverse_std.wgsl. Twin: `ScaleAndShift::fold_into_preceding` in src/fold/affine.rs.

alias Stat = f32;

struct FoldParams {
    total: u32,          // weights
    outputs: u32,
    wide: u32,           // workgroups in a row of the dispatch
    out_divisor: u32,    // an index into the weight / out_divisor % out_count: the output within its group, or of all
    out_count: u32,
    group_divisor: u32,  // an index / group_divisor % group_count / group_inputs: the group
    group_count: u32,
    group_inputs: u32,
    has_bias: u32,
    has_norm_weight: u32,
    has_norm_bias: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: FoldParams;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> norm_weight: array<f32>;
@group(0) @binding(4) var<storage, read> norm_bias: array<f32>;
@group(0) @binding(5) var<storage, read> running_mean: array<f32>;
@group(0) @binding(6) var<storage, read> running_var: array<f32>;
@group(0) @binding(7) var<storage, read_write> folded_weight: array<f32>;
@group(0) @binding(8) var<storage, read_write> folded_bias: array<f32>;

fn fold_scale(output: u32) -> f32 {
    let scale = inverse_std(running_var[output]);
    if params.has_norm_weight == 0u {
        return scale;
    }
    return scale * norm_weight[output];
}

@compute @workgroup_size(64)
fn fold_preceding(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = (group.y * params.wide + group.x) * 64u + local;
    if i < params.total {
        let first = i / params.group_divisor % params.group_count / params.group_inputs * params.out_count;
        let output = first + i / params.out_divisor % params.out_count;
        folded_weight[i] = weight[i] * fold_scale(output);
    }
    if i < params.outputs {
        var shifted = -running_mean[i];
        if params.has_bias != 0u {
            shifted += bias[i];
        }
        shifted *= fold_scale(i);
        if params.has_norm_bias != 0u {
            shifted += norm_bias[i];
        }
        folded_bias[i] = shifted;
    }
}
