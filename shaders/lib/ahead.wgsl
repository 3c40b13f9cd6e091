//! import packet
// Packets are loaded AHEAD at a time, before the first of them is used: a GPU waits for each of them otherwise. Where a
// packet takes several loads by itself, AHEAD is one, and then nothing is left over.

alias Packets = array<Packet, AHEAD>;

// How many of these packets are taken AHEAD at a time. The others come one by one.
fn in_groups(packets: u32) -> u32 {
    return packets - packets % AHEAD;
}
