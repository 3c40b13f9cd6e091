//! import packet, cursor, valid
// All that one invocation reads of a tensor, kept in registers from its only read to its last use. Loops over it have a
// constant number of turns, so that compilers unroll them. What an invocation does not have is loaded from a place that
// there is, and replaced by 0: a GPU would wait for each load under an `if` before it asks for the next.

alias Held = array<Packet, HELD>;
// The bits of each in the mask.
alias Valid = array<u32, HELD>;

// Where a packet is that the invocation has, or the first packet.
fn index_if(has: bool, cursor: Cursor) -> u32 {
    return select(params.first, cursor.index, has);
}

// Its bits in the mask, or none.
fn valid_if(has: bool, cursor: Cursor) -> u32 {
    return select(0u, valid_at(select(params.number, cursor.number, has)), has);
}

fn packet_if(has: bool, packet: Packet) -> Packet {
    var values = packet;
    for (var k = 0u; k < QUADS; k++) {
        values[k] = select(Quad(0.0), values[k], has);
    }
    return values;
}
