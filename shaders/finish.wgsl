// From a feature's moments to its record, its running statistics and its count of batches.

@group(0) @binding(3) var<storage, read_write> state: array<f32>;
// num_batches_tracked, once per feature: whoever finishes a feature counts it, without asking the others.
@group(0) @binding(4) var<storage, read_write> batches: array<u32>;

fn finish(feature: u32, shift: f32, mean: f32, square: f32) -> Record {
    // The pair again, so that its first part is the nearest float32 to the mean.
    let nearest = bitcast<f32>(bitcast<u32>(shift + mean) ^ params.zero);
    let rest = (shift - nearest) + mean;
    let variance = square * params.variance_of_square;

    let old_mean = state[running_mean_index(feature)];
    let old_var = state[running_var_index(feature)];
    if params.update_running == 1u {
        batches[feature] += 1u;
        let share = select(params.momentum, 1.0 / f32(batches[feature]), params.momentum < 0.0);
        state[running_mean_index(feature)] = (1.0 - share) * old_mean + share * nearest;
        state[running_var_index(feature)] = (1.0 - share) * old_var + share * (variance * params.running_scale);
    }

    let weight = state[weight_index(feature)];
    if params.use_running == 1u {
        return Record(old_mean, 0.0, inverse_std(old_var), weight);
    }
    return Record(nearest, rest, inverse_std(variance), weight);
}
