//! import ahead, cursor, packet, moments, reduce, valid
// The moments of an invocation's slice. It walks in segments and sums deviations from the mean of the segment before. A
// segment of the first few packets, with deviations from a first value, only gives the mean to begin with: they are read
// once more. The first segments are short. So an outlier spoils the shift of one segment at most. With a mask, all of this
// begins at the first valid value. Packets add up to runs, runs to segments, segments merge into blocks and blocks into
// the whole, so that no sum is long.

const FIRST = 4u;          // packets read twice
const RUN = 8u;            // packets in a run
const FIRST_SEGMENT = 16u; // packets in the first segment; each next one is twice as long
const SEGMENT = 64u;       // packets in the longest segment
const SEGMENTS = 8u;       // segments in a block

alias Shifts = array<Stat, STATS>;

struct Deviations {
    sums: Packet,
    squares: Packet,
    counted: u32,
}

fn add_deviations(run: ptr<function, Deviations>, x: Packet, valid: u32, shifts: ptr<function, Shifts>) {
    var packet = x;
    for (var k = 0u; k < QUADS; k++) {
        let deviation = where_valid((packet[k] - (*shifts)[k % STATS]) * SUM_UNIT, valid, k);
        (*run).sums[k] += deviation;
        (*run).squares[k] += deviation * deviation;
    }
    (*run).counted += valid_count(valid);
}

fn run_deviations(cursor: ptr<function, Cursor>, packets: u32, shifts: ptr<function, Shifts>) -> Deviations {
    var run = Deviations();
    let grouped = in_groups(packets);
    for (var i = 0u; i < grouped; i += AHEAD) {
        var ahead = Packets();
        var valid = array<u32, AHEAD>();
        for (var j = 0u; j < AHEAD; j++) {
            ahead[j] = load_x((*cursor).index);
            valid[j] = valid_at((*cursor).number);
            advance(cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            add_deviations(&run, ahead[j], valid[j], shifts);
        }
    }
    if AHEAD > 1u {
        for (var i = grouped; i < packets; i++) {
            add_deviations(&run, load_x((*cursor).index), valid_at((*cursor).number), shifts);
            advance(cursor);
        }
    }
    return run;
}

fn segment_moments(cursor: ptr<function, Cursor>, packets: u32, shifts: ptr<function, Shifts>) -> Items {
    var sums = Packet();
    var squares = Packet();
    var counted = 0u;
    // Of a number of turns that no compiler knows: one that unrolls runs takes a third longer.
    let run_packets = RUN + params.zero;
    for (var begin = 0u; begin < packets; begin += run_packets) {
        let run = run_deviations(cursor, min(run_packets, packets - begin), shifts);
        for (var k = 0u; k < QUADS; k++) {
            sums[k] += run.sums[k];
            squares[k] += run.squares[k];
        }
        counted += run.counted;
    }
    (*cursor).left -= packets;
    let count = values_of(packets, counted);
    var segment = Items();
    for (var s = 0u; s < STATS; s++) {
        segment[s] = moments_of(count, (*shifts)[s], total(&sums, s), total(&squares, s));
    }
    return segment;
}

fn slice_moments(start: Cursor) -> Items {
    var all = Items();
    var cursor = start;
    skip_padding(&cursor);
    let begin = cursor;
    var shifts = Shifts();
    if begin.left > 0u {
        shifts = value_among(load_x(begin.index), valid_at(begin.number));
    }
    var packets = FIRST;
    while cursor.left > 0u {
        var block = Items();
        for (var i = 0u; i < SEGMENTS && cursor.left > 0u; i++) {
            var segment = segment_moments(&cursor, min(cursor.left, packets), &shifts);
            for (var s = 0u; s < STATS; s++) {
                shifts[s] = segment[s].mean;
            }
            if packets == FIRST {
                cursor = begin;
                packets = FIRST_SEGMENT;
            } else {
                packets = min(2u * packets, SEGMENT);
                combine_items(&block, &segment);
            }
        }
        combine_items(&all, &block);
    }
    return all;
}
