//! import packet, moments, reduce, hold, valid
// The moments of what an invocation holds: first the mean, then the squares of deviations from it.

// A value among those of the first packet that has a valid one.
fn first_held(held: ptr<function, Held>, valid: ptr<function, Valid>) -> array<Stat, STATS> {
    var among = value_among((*held)[0], (*valid)[0]);
    if MASKED {
        for (var i = HELD; i > 0u; i--) {
            if (*valid)[i - 1u] != 0u {
                among = value_among((*held)[i - 1u], (*valid)[i - 1u]);
            }
        }
    }
    return among;
}

fn held_moments(held: ptr<function, Held>, valid: ptr<function, Valid>, left: u32) -> Items {
    var moments = Items();
    if left == 0u {
        return moments;
    }
    var shifts = first_held(held, valid);
    var sums = Packet();
    var counted = 0u;
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            for (var k = 0u; k < QUADS; k++) {
                sums[k] += where_valid((*held)[i][k] - shifts[k % STATS], (*valid)[i], k);
            }
            counted += valid_count((*valid)[i]);
        }
    }
    let count = values_of(left, counted);
    if MASKED && count == 0.0 {
        return moments;
    }
    let each = 1.0 / count;
    for (var s = 0u; s < STATS; s++) {
        shifts[s] = opaque(shifts[s] + total(&sums, s) * each);
    }

    sums = Packet();
    var squares = Packet();
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            for (var k = 0u; k < QUADS; k++) {
                let deviation = where_valid(((*held)[i][k] - shifts[k % STATS]) * SUM_UNIT, (*valid)[i], k);
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
