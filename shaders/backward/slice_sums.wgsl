//! import ahead, cursor, packet, sums, standardize, reduce, backward_packet, valid
// The gradient sums of an invocation's slice. It walks in segments, which add up level by level, so that no sum is long:
// where all values are the same, rounding errs in the same direction each time.

const SUMS_FAN = 16u; // packets in a segment, and what each level adds up

struct PacketSums {
    dy: Packet,
    dy_xhat: Packet,
}

fn add_products(sums: ptr<function, PacketSums>, dy: Packet, xhat: Packet) {
    for (var k = 0u; k < QUADS; k++) {
        (*sums).dy[k] += dy[k];
        (*sums).dy_xhat[k] += dy[k] * xhat[k];
    }
}

// What an invocation has added up.
fn added_items(sums: PacketSums) -> Items {
    var dy_sums = sums.dy;
    var dy_xhat_sums = sums.dy_xhat;
    var items = Items();
    for (var s = 0u; s < STATS; s++) {
        items[s] = Sums(total(&dy_sums, s), total(&dy_xhat_sums, s));
    }
    return items;
}

fn add_gradient(
    sums: ptr<function, PacketSums>,
    packet: BackwardPacket,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
) {
    let dy = valid_gradient(packet, affines);
    let xhat = only_valid(standardized(packet.x, standardizes), packet.valid);
    add_products(sums, dy, xhat);
}

fn segment_sums(
    cursor: ptr<function, Cursor>,
    packets: u32,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
) -> Items {
    var sums = PacketSums();
    let grouped = in_groups(packets);
    for (var i = 0u; i < grouped; i += AHEAD) {
        var ahead = array<BackwardPacket, AHEAD>();
        for (var j = 0u; j < AHEAD; j++) {
            ahead[j] = next_backward_packet(cursor);
        }
        for (var j = 0u; j < AHEAD; j++) {
            add_gradient(&sums, ahead[j], standardizes, affines);
        }
    }
    if AHEAD > 1u {
        for (var i = grouped; i < packets; i++) {
            add_gradient(&sums, next_backward_packet(cursor), standardizes, affines);
        }
    }
    (*cursor).left -= packets;
    return added_items(sums);
}

fn slice_sums(
    start: Cursor,
    standardizes: ptr<function, Standardizes>,
    affines: ptr<function, Affines>,
) -> Items {
    // Of a number of turns that no compiler knows: one that unrolls the loop 16 times takes ten times as long.
    let segment_packets = SUMS_FAN + params.zero;
    var cursor = start;
    var all = Items();
    while cursor.left > 0u {
        var large = Items();
        for (var i = 0u; i < SUMS_FAN && cursor.left > 0u; i++) {
            var block = Items();
            for (var j = 0u; j < SUMS_FAN && cursor.left > 0u; j++) {
                var segment = segment_sums(&cursor, min(cursor.left, segment_packets), standardizes, affines);
                combine_items(&block, &segment);
            }
            combine_items(&large, &block);
        }
        combine_items(&all, &large);
    }
    return all;
}
