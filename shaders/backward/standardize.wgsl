//! import packet, saved
// xhat = (x - mean) * invstd, as (x - near) * invstd + offset, like affine.wgsl.

struct Standardize {
    near: Stat,
    invstd: Stat,
    offset: Stat,
}

alias Standardizes = array<Standardize, STATS>;

fn standardize_of(statistics: Saved) -> Standardize {
    return Standardize(statistics.mean, statistics.invstd, -statistics.rest * statistics.invstd);
}

fn standardizes_at(slot: u32) -> Standardizes {
    var standardizes = Standardizes();
    for (var n = 0u; n < stats(); n++) {
        let standardize = standardize_of(saved_at(slot * STATS + n));
        for (var s = 0u; s < STATS; s++) {
            if s == n {
                standardizes[s] = standardize;
            }
        }
    }
    return standardizes;
}

fn standardized(packet: Packet, standardizes: ptr<function, Standardizes>) -> Packet {
    var xhat = packet;
    for (var k = 0u; k < QUADS; k++) {
        let s = (*standardizes)[k % STATS];
        xhat[k] = (xhat[k] - s.near) * s.invstd + s.offset;
    }
    return xhat;
}
