// From the moments of the features at one place to their record, running statistics and count of batches.

@group(0) @binding(3) var<storage, read_write> state: array<Stat>;
// num_batches_tracked, once per feature: whoever finishes a feature counts it, without asking the others.
@group(0) @binding(4) var<storage, read_write> batches: array<StatCount>;
@group(0) @binding(5) var<storage, read_write> record: array<Stat>;

// Running statistics as they are before the step: to be read before anyone finishes.
struct Running {
    mean: Stat,
    variance: Stat,
}

fn running_at(place: u32) -> Running {
    return Running(state[at(RUNNING_MEAN, place)], state[at(RUNNING_VAR, place)]);
}

// Every invocation gets the record; one for each place writes.
fn finish(place: u32, moments: Moments, old: Running, writes: bool) -> Record {
    // The pair again, so that its first part is the nearest float32 to the mean.
    var mean = stat_opaque(moments.shift + moments.mean);
    var rest = (moments.shift - mean) + moments.mean;
    var variance = moments.square * params.variance_of_square;

    if writes && params.update_running == 1u {
        let count = stat_next(batches[place]);
        batches[place] = count;
        var share = stat_splat(params.momentum);
        if params.momentum < 0.0 {
            share = stat_reciprocal(count);
        }
        let stay = stat_splat(1.0) - share;
        let new_var = variance * params.running_scale;
        state[at(RUNNING_MEAN, place)] = stat_times(stay, old.mean) + stat_times(share, mean);
        state[at(RUNNING_VAR, place)] = stat_times(stay, old.variance) + stat_times(share, new_var);
    }

    if params.use_running == 1u {
        mean = old.mean;
        rest = stat_splat(0.0);
        variance = old.variance;
    }
    let made = Record(mean, rest, inverse_std(variance), state[at(WEIGHT, place)]);
    if writes {
        keep(place, made);
    }
    return made;
}
