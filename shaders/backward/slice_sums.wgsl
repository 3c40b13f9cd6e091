//! import cursor, packet, sums, standardize, reduce, gradient_at, valid
// The gradient sums of an invocation's slice. It walks in segments, which add up level by level, so that no sum is long:
// where all values are the same, rounding errs in the same direction each time.

const SUMS_FAN = 16u; // packets in a segment, and what each level adds up

fn segment_sums(
    cursor: ptr<function, Cursor>,
    packets: u32,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
) -> Items {
    var dy_sums = Packet();
    var dy_xhat_sums = Packet();
    for (var i = 0u; i < packets; i++) {
        let valid = valid_at((*cursor).number);
        var x = load_x((*cursor).index);
        var dy = only_valid(gradient_at((*cursor).index, x, affines), valid);
        var xhat = only_valid(standardized(x, standardizes), valid);
        for (var k = 0u; k < QUADS; k++) {
            dy_sums[k] += dy[k];
            dy_xhat_sums[k] += dy[k] * xhat[k];
        }
        advance(cursor);
    }
    (*cursor).left -= packets;
    var segment = Items();
    for (var s = 0u; s < STATS; s++) {
        segment[s] = Sums(total(&dy_sums, s), total(&dy_xhat_sums, s));
    }
    return segment;
}

fn slice_sums(
    start: Cursor,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
) -> Items {
    // Of a number of turns that no compiler knows: one that unrolls the loop 16 times takes ten times as long.
    let segment_packets = SUMS_FAN + params.zero;
    var cursor = start;
    var all = Items();
    while cursor.left > 0u {
        var large = Items();
        for (var i = 0u; i < SUMS_FAN && cursor.left > 0u; i++) {
            var block = Items();
            for (var j = 0u; j < SUMS_FAN && cursor.left > 0u; j++) {
                var segment = segment_sums(&cursor, min(cursor.left, segment_packets), standardizes, affines);
                combine_items(&block, &segment);
            }
            combine_items(&large, &block);
        }
        combine_items(&all, &large);
    }
    return all;
}
