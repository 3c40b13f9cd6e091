//! import tile, ahead, cursor, packet, saved, backward_packet, residual_gradient, valid
// frozen_gradient: dx where running statistics normalized and nothing else is wanted: dx = dy * weight * invstd.
// Reads dy once, and 8 bytes per feature and split; writes dx once.

alias Scales = array<Stat, STATS>;

fn store_scaled(packet: BackwardPacket, scales: ptr<function, Scales>, affines: ptr<function, Affines>) {
    let g = valid_gradient(packet, affines);
    store_residual_gradient(packet.index, g);
    var dx = g;
    for (var k = 0u; k < QUADS; k++) {
        dx[k] *= (*scales)[k % STATS];
    }
    store_dx(packet.index, only_valid(dx, packet.valid));
}

@compute @workgroup_size(WORKGROUP)
fn frozen_gradient(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let group = group_of(id, size);
    if group >= params.groups {
        return;
    }
    let slot = clamped(slot_of(group, invocation));
    var scales = Scales();
    for (var n = 0u; n < stats(); n++) {
        let statistics = saved_at(slot * STATS + n);
        for (var s = 0u; s < STATS; s++) {
            if s == n {
                scales[s] = statistics.weight * statistics.invstd;
            }
        }
    }
    var affines = recalled_affines(slot);
    let start = begin_slice(group, invocation);
    var cursor = start;
    let grouped = in_groups(start.left);
    for (var i = 0u; i < grouped; i += AHEAD) {
        var ahead = array<BackwardPacket, AHEAD>();
        for (var j = 0u; j < AHEAD; j++) {
            ahead[j] = next_backward_packet(&cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            store_scaled(ahead[j], &scales, &affines);
        }
    }
    if AHEAD > 1u {
        for (var i = grouped; i < start.left; i++) {
            store_scaled(next_backward_packet(&cursor), &scales, &affines);
        }
    }
}
