// From the moments of the features at one place to their record, running statistics and count of batches.

@group(0) @binding(3) var<storage, read_write> state: array<Stat>;
// num_batches_tracked, once per feature: whoever finishes a feature counts it, without asking the others.
@group(0) @binding(4) var<storage, read_write> batches: array<StatCount>;
@group(0) @binding(5) var<storage, read_write> record: array<Stat>;

fn finish(place: u32, moments: Moments) {
    // The pair again, so that its first part is the nearest float32 to the mean.
    let mean = stat_opaque(moments.shift + moments.mean);
    let rest = (moments.shift - mean) + moments.mean;
    let variance = moments.square * params.variance_of_square;

    let old_mean = state[at(RUNNING_MEAN, place)];
    let old_var = state[at(RUNNING_VAR, place)];
    if params.update_running == 1u {
        let count = stat_next(batches[place]);
        batches[place] = count;
        var share = stat_splat(params.momentum);
        if params.momentum < 0.0 {
            share = stat_reciprocal(count);
        }
        let keep = stat_splat(1.0) - share;
        let new_var = variance * params.running_scale;
        state[at(RUNNING_MEAN, place)] = stat_times(keep, old_mean) + stat_times(share, mean);
        state[at(RUNNING_VAR, place)] = stat_times(keep, old_var) + stat_times(share, new_var);
    }

    record[at(GAMMA, place)] = state[at(WEIGHT, place)];
    if params.use_running == 1u {
        record[at(MEAN, place)] = old_mean;
        record[at(REST, place)] = stat_splat(0.0);
        record[at(INVSTD, place)] = inverse_std(old_var);
    } else {
        record[at(MEAN, place)] = mean;
        record[at(REST, place)] = rest;
        record[at(INVSTD, place)] = inverse_std(variance);
    }
}
