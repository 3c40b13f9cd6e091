//! import ahead, cursor, packet, saved, sums, standardize, backward_packet, residual_gradient, valid
// dx = weight * invstd * (dy - mean(dy) - xhat * mean(dy * xhat)) (Ioffe & Szegedy 2015, section 3, with the biased
// variance). Where running statistics normalized, they are constants: dx = weight * invstd * dy.

// Whether running statistics normalized.
override FROZEN: bool = false;

struct Gradient {
    scale: Stat,
    mean: Stat,
    slope: Stat,
}

alias Gradients = array<Gradient, STATS>;

fn gradient_of(statistics: Saved, means: Sums) -> Gradient {
    return Gradient(statistics.weight * statistics.invstd, means.dy, means.dy_xhat);
}

fn set_gradient(gradients: ptr<function, Gradients>, n: u32, gradient: Gradient) {
    for (var s = 0u; s < STATS; s++) {
        if s == n {
            (*gradients)[s] = gradient;
        }
    }
}

fn input_gradient_of(dy: Packet, xhat: Packet, gradients: ptr<function, Gradients>) -> Packet {
    var dx = dy;
    var at_x = xhat;
    for (var k = 0u; k < QUADS; k++) {
        let g = (*gradients)[k % STATS];
        // Without the sums, since a NaN or an infinity in x must not reach what does not depend on it.
        if FROZEN {
            dx[k] *= g.scale;
        } else {
            dx[k] = (dx[k] - g.mean - at_x[k] * g.slope) * g.scale;
        }
    }
    return dx;
}

fn store_gradients(
    packet: BackwardPacket,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
    gradients: ptr<function, Gradients>,
) {
    let dy = valid_gradient(packet, affines);
    let xhat = standardized(packet.x, standardizes);
    store_residual_gradient(packet.index, dy);
    store_dx(packet.index, only_valid(input_gradient_of(dy, xhat, gradients), packet.valid));
}

// dx and dz of an invocation's slice.
fn gradient_slice(
    start: Cursor,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
    gradients: ptr<function, Gradients>,
) {
    var cursor = start;
    let grouped = in_groups(start.left);
    for (var i = 0u; i < grouped; i += AHEAD) {
        var ahead = array<BackwardPacket, AHEAD>();
        for (var j = 0u; j < AHEAD; j++) {
            ahead[j] = next_backward_packet(&cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            store_gradients(ahead[j], standardizes, affines, gradients);
        }
    }
    if AHEAD > 1u {
        for (var i = grouped; i < start.left; i++) {
            store_gradients(next_backward_packet(&cursor), standardizes, affines, gradients);
        }
    }
}
