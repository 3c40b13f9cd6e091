//! import cursor, packet, saved, valid
// y = (x - mean) * invstd * weight + bias, as (x - near) * scale + offset with a float32 near the mean: x - near is exact
// for x near the mean, and nothing in it can be reassociated.

struct Affine {
    near: Stat,
    scale: Stat,
    offset: Stat,
}

alias Affines = array<Affine, STATS>;

fn affine_of(statistics: Saved) -> Affine {
    let scale = statistics.weight * statistics.invstd;
    return Affine(statistics.mean, scale, statistics.bias - statistics.rest * scale);
}

fn set_affine(affines: ptr<function, Affines>, n: u32, affine: Affine) {
    for (var s = 0u; s < STATS; s++) {
        if s == n {
            (*affines)[s] = affine;
        }
    }
}

fn transform(packet: Packet, affines: ptr<function, Affines>) -> Packet {
    var values = packet;
    for (var k = 0u; k < QUADS; k++) {
        let a = (*affines)[k % STATS];
        values[k] = (values[k] - a.near) * a.scale + a.offset;
    }
    return values;
}

// Normalizes an invocation's slice.
fn transform_slice(start: Cursor, affines: ptr<function, Affines>) {
    var cursor = start;
    for (var i = 0u; i < start.left; i++) {
        let y = transform(load_x(cursor.index), affines);
        store_y(cursor.index, only_valid(y, valid_at(cursor.number)));
        advance(&cursor);
    }
}
