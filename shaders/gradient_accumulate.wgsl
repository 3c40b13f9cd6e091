// The sums of dy and of dy * xhat of all that one workgroup reads. Each invocation walks its chunk in segments, which
// add up to blocks and those to the whole, so that no sum is long. The order is fixed: the same bits every time.

const SEGMENT = 16u;  // Values in a segment
const SEGMENTS = 64u; // segments in a block

fn segment_sums(walk: ptr<function, Walk>, count: u32, s: Standardize) -> Sums {
    var dy_sum = sum_of(splat(0.0));
    var dy_xhat_sum = sum_of(splat(0.0));
    for (var i = 0u; i < count; i++) {
        let dy_here = load_gradient((*walk).index);
        dy_sum += sum_of(dy_here);
        dy_xhat_sum += sum_of(times(dy_here, standardized(load((*walk).index), s)));
        walk_next(walk);
    }
    (*walk).left -= count;
    return Sums(stat_of(dy_sum), stat_of(dy_xhat_sum));
}

fn accumulate(start: Walk, s: Standardize) -> Sums {
    var walk = start;
    var sums = Sums();
    while walk.left > 0u {
        var block = Sums();
        for (var i = 0u; i < SEGMENTS && walk.left > 0u; i++) {
            block = combine(block, segment_sums(&walk, min(walk.left, SEGMENT), s));
        }
        sums = combine(sums, block);
    }
    return sums;
}
