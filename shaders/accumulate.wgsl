// The moments of all that one workgroup reads. Each invocation walks its chunk in segments and sums deviations from
// the mean of the segments before; a few Values are read once more to begin with their mean. So an outlier spoils the
// shift of one segment at most. Segments merge into blocks and blocks into the whole, so that no sum is long.

const FIRST = 4u;     // Values read twice
const SEGMENT = 16u;  // Values in a segment
const SEGMENTS = 64u; // segments in a block

fn first_mean(start: Walk, count: u32) -> Stat {
    var walk = start;
    let base = sample(load(walk.index));
    let origin = spread(base);
    var sum = sum_of(splat(0.0));
    for (var i = 0u; i < count; i++) {
        sum += sum_of(load(walk.index) - origin);
        walk_next(&walk);
    }
    return base + stat_of(sum) * (1.0 / (f32(count) * PER_VALUE));
}

fn segment_moments(walk: ptr<function, Walk>, count: u32, shift: Stat, unit: f32) -> Moments {
    let origin = spread(shift);
    var sum = sum_of(splat(0.0));
    var squares = sum_of(splat(0.0));
    for (var i = 0u; i < count; i++) {
        let deviation = (load((*walk).index) - origin) * unit;
        sum += sum_of(deviation);
        squares += sum_of(times(deviation, deviation));
        walk_next(walk);
    }
    (*walk).left -= count;
    let values = f32(count) * PER_VALUE;
    let mean = stat_of(sum) * (1.0 / values);
    return Moments(values, shift, mean * (1.0 / unit), stat_of(squares) - stat_times(mean, mean) * values);
}

fn accumulate(start: Walk) -> Moments {
    var moments = Moments();
    if start.left == 0u {
        return moments;
    }
    let unit = params.unit;
    var walk = start;
    var shift = stat_opaque(first_mean(start, min(start.left, FIRST)));
    while walk.left > 0u {
        var block = Moments();
        for (var i = 0u; i < SEGMENTS && walk.left > 0u; i++) {
            let segment = segment_moments(&walk, min(walk.left, SEGMENT), shift, unit);
            block = combine(block, segment);
            shift = stat_opaque(block.shift + block.mean);
        }
        moments = combine(moments, block);
    }
    return moments;
}
