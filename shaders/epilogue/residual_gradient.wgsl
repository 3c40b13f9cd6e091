//! import packet
// dz of a packet, where it is wanted: overwritten, or added to.

// Whether it is added to.
override ADDS_RESIDUAL: bool = false;

fn store_residual_gradient(index: u32, g: Packet) {
    if RESIDUAL_GRADIENT {
        var dz = g;
        if ADDS_RESIDUAL {
            var old = load_dz(index);
            for (var k = 0u; k < QUADS; k++) {
                dz[k] += old[k];
            }
        }
        store_dz(index, dz);
    }
}
