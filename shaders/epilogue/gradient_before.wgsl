//! import packet, pre_activation
// The gradient of a packet with respect to what its activation was given: dy where there is no activation. All of backward
// takes it in the place of dy.

fn gradient_before(x: Packet, dy: Packet, kept: Packet, affines: ptr<function, Affines>) -> Packet {
    var g = dy;
    if ACTIVATES {
        var v = pre_activation(x, kept, affines);
        for (var k = 0u; k < QUADS; k++) {
            g[k] = activation_gradient(v[k], g[k]);
        }
    }
    return g;
}
