//! import moments, save, inverse_std, guard
// From the moments of a feature to its saved statistics, its running statistics and the count of its batches.

// Running statistics as they are before the step: to be read before any invocation finishes.
struct Running {
    mean: Stat,
    variance: Stat,
}

fn running_at(i: u32) -> Running {
    return Running(running_mean_at(i), running_var_at(i));
}

// num_batches_tracked stands once per feature: what finishes a feature counts it, without asking the others. The count
// stays at its largest value.
fn count_batch(i: u32) -> Bits {
    let count = min(batches_at(i), Bits(0xfffffffeu)) + 1u;
    set_batches(i, count);
    return count;
}

fn update_running(i: u32, moments: Moments, variance: Stat, old: Running) {
    let count = count_batch(i);
    if moments.count == 0.0 {
        return;
    }
    var share = Stat(params.momentum);
    if params.momentum < 0.0 {
        share = 1.0 / Stat(count);
    }
    // One value has no variance that there could be more of.
    let bessel = params.unbiased / max(moments.count - 1.0, 1.0);
    var mean = (1.0 - share) * old.mean + share * moments.mean;
    // The share of an estimate that may itself be beyond float32.
    let estimate = share * variance;
    var moved = (1.0 - share) * old.variance + (estimate + estimate * bessel);
    if GUARDED {
        let skips = non_finite(moments.mean, variance);
        count_skipped(i, skips);
        mean = select(mean, old.mean, skips != Bits(0u));
        moved = select(moved, old.variance, skips != Bits(0u));
    }
    set_running_mean(i, mean);
    set_running_var(i, moved);
}

// Every invocation gets the statistics; one for each slot writes. Without a value, the mean is 0 and so is the share.
fn finish(i: u32, moments: Moments, old: Running, writes: bool) -> Saved {
    let variance = moments.variance * (1.0 / (UNIT * UNIT));
    if writes && params.update_running == 1u && commits() {
        update_running(i, moments, variance, old);
    }
    let share = Stat(select(1.0 / max(moments.count, 1.0), 0.0, moments.count == 0.0));
    var statistics =
        Saved(moments.mean, moments.rest, inverse_std(variance), weight_at(i), share, bias_at(i));
    if params.use_running == 1u {
        statistics.mean = old.mean;
        statistics.rest = Stat(0.0);
        statistics.invstd = inverse_std(old.variance);
    }
    if writes {
        save(i, statistics);
    }
    return statistics;
}
