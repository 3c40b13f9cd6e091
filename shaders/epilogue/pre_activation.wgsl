//! import packet, affine, residual
// What the activation of a packet was given: made anew from x and the residual, as forward made it. Or y, where no more
// than the sign is needed: y has the same.

fn recalled_affines(slot: u32) -> Affines {
    var affines = Affines();
    if RECOMPUTES {
        for (var n = 0u; n < stats(); n++) {
            set_affine(&affines, n, affine_of(saved_at(slot * STATS + n)));
        }
    }
    return affines;
}

// What is kept of forward for this beside x: the residual or y, where there is one.
fn load_kept(index: u32) -> Packet {
    if RECOMPUTES {
        return load_z(index);
    }
    return load_y(index);
}

fn pre_activation(x: Packet, kept: Packet, affines: ptr<function, Affines>) -> Packet {
    if RECOMPUTES {
        return with_residual(transform(x, affines), kept);
    }
    return kept;
}
