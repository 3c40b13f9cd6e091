//! import packet, moments, reduce, hold
// The moments of what an invocation holds: first the mean, then the squares of deviations from it.

fn held_moments(held: ptr<function, Held>, left: u32) -> Items {
    var moments = Items();
    if left == 0u {
        return moments;
    }
    let count = f32(left) * PACKET_VALUES;
    let each = 1.0 / count;
    var shifts = array<Stat, STATS>();
    for (var s = 0u; s < STATS; s++) {
        shifts[s] = collapse((*held)[0][s] * PER_QUAD);
    }
    var sums = Packet();
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            for (var k = 0u; k < QUADS; k++) {
                sums[k] += (*held)[i][k] - shifts[k % STATS];
            }
        }
    }
    for (var s = 0u; s < STATS; s++) {
        shifts[s] = opaque(shifts[s] + total(&sums, s) * each);
    }

    sums = Packet();
    var squares = Packet();
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            for (var k = 0u; k < QUADS; k++) {
                let deviation = ((*held)[i][k] - shifts[k % STATS]) * SUM_UNIT;
                sums[k] += deviation;
                squares[k] += deviation * deviation;
            }
        }
    }
    for (var s = 0u; s < STATS; s++) {
        moments[s] = moments_of(count, shifts[s], total(&sums, s), total(&squares, s));
    }
    return moments;
}
