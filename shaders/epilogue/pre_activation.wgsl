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

fn pre_activation(index: u32, x: Packet, affines: ptr<function, Affines>) -> Packet {
    if RECOMPUTES {
        return with_residual(transform(x, affines), index);
    }
    return load_y(index);
}
