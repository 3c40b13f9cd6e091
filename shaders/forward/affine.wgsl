//! import packet, saved
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
