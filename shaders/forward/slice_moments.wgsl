//! import cursor, packet, moments, reduce
// The moments of an invocation's slice. It walks in segments and sums deviations from the mean of the segment before; the
// first few packets are read once more to begin with their mean, and the first segments are short. So an outlier spoils
// the shift of one segment at most. Packets add up to runs, runs to segments, segments merge into blocks and blocks into
// the whole, so that no sum is long.

const FIRST = 4u;          // packets read twice
const RUN = 8u;            // packets in a run
const FIRST_SEGMENT = 16u; // packets in the first segment; each next one is twice as long
const SEGMENT = 64u;       // packets in the longest segment
const SEGMENTS = 8u;       // segments in a block

alias Shifts = array<Stat, STATS>;

fn first_shifts(start: Cursor, packets: u32) -> Shifts {
    var cursor = start;
    var packet = load_x(cursor.index);
    var shifts = Shifts();
    for (var s = 0u; s < STATS; s++) {
        shifts[s] = collapse(packet[s] * PER_QUAD);
    }
    var sums = Packet();
    for (var i = 0u; i < packets; i++) {
        packet = load_x(cursor.index);
        for (var k = 0u; k < QUADS; k++) {
            sums[k] += packet[k] - shifts[k % STATS];
        }
        advance(&cursor);
    }
    for (var s = 0u; s < STATS; s++) {
        shifts[s] = opaque(shifts[s] + total(&sums, s) * (1.0 / (f32(packets) * PACKET_VALUES)));
    }
    return shifts;
}

fn segment_moments(cursor: ptr<function, Cursor>, packets: u32, shifts: ptr<function, Shifts>) -> Items {
    var sums = Packet();
    var squares = Packet();
    for (var begin = 0u; begin < packets; begin += RUN) {
        var run_sums = Packet();
        var run_squares = Packet();
        for (var i = begin; i < min(begin + RUN, packets); i++) {
            var packet = load_x((*cursor).index);
            for (var k = 0u; k < QUADS; k++) {
                let deviation = (packet[k] - (*shifts)[k % STATS]) * SUM_UNIT;
                run_sums[k] += deviation;
                run_squares[k] += deviation * deviation;
            }
            advance(cursor);
        }
        for (var k = 0u; k < QUADS; k++) {
            sums[k] += run_sums[k];
            squares[k] += run_squares[k];
        }
    }
    (*cursor).left -= packets;
    let count = f32(packets) * PACKET_VALUES;
    var segment = Items();
    for (var s = 0u; s < STATS; s++) {
        segment[s] = moments_of(count, (*shifts)[s], total(&sums, s), total(&squares, s));
    }
    return segment;
}

fn slice_moments(start: Cursor) -> Items {
    var all = Items();
    if start.left == 0u {
        return all;
    }
    var cursor = start;
    var shifts = first_shifts(start, min(start.left, FIRST));
    var packets = FIRST_SEGMENT;
    while cursor.left > 0u {
        var block = Items();
        for (var i = 0u; i < SEGMENTS && cursor.left > 0u; i++) {
            var segment = segment_moments(&cursor, min(cursor.left, packets), &shifts);
            packets = min(2u * packets, SEGMENT);
            for (var s = 0u; s < STATS; s++) {
                shifts[s] = segment[s].mean;
                block[s] = merge_moments(block[s], segment[s]);
            }
        }
        for (var s = 0u; s < STATS; s++) {
            all[s] = merge_moments(all[s], block[s]);
        }
    }
    return all;
}
