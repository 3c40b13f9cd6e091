//! import cursor, packet
// Which values take part. A mask has a bit for each example and position, all positions of an example in a row: bit b is
// bit b % 32 of word b / 32. What does not take part may be anything, a NaN too: a select replaces it, no product with 0.
// Without a mask, all of this is constant.

// Bits of a packet in the mask: one for each of its values in planes, one for all of them in rows.
const MASK_BITS = u32(PACKET_VALUES);
const PACKETS_PER_WORD = 32u / MASK_BITS;

// The bits of the packet of this number, from the lowest on. In rows, all 32 are its one.
fn valid_at(number: u32) -> u32 {
    if !MASKED {
        return 0xffffffffu;
    }
    let word = mask_word(number / PACKETS_PER_WORD) >> (MASK_BITS * (number % PACKETS_PER_WORD));
    let bits = word & (0xffffffffu >> (32u - MASK_BITS));
    return select(0u - bits, bits, PLANES);
}

fn are_valid(valid: u32, k: u32) -> QuadBools {
    return (QuadBits(valid >> (4u * k)) & QUAD_BITS) != QuadBits(0u);
}

// Quad k of a packet with these bits, and 0 for what is not valid.
fn where_valid(quad: Quad, valid: u32, k: u32) -> Quad {
    if !MASKED {
        return quad;
    }
    return select(Quad(0.0), quad, are_valid(valid, k));
}

// All of a packet likewise.
fn only_valid(packet: Packet, valid: u32) -> Packet {
    var values = packet;
    if MASKED {
        for (var k = 0u; k < QUADS; k++) {
            values[k] = where_valid(values[k], valid, k);
        }
    }
    return values;
}

// Valid values that a packet has for each Stat: what is counted where there is a mask.
fn valid_count(valid: u32) -> u32 {
    if !MASKED {
        return 0u;
    }
    return countOneBits(valid & (0xffffffffu >> (32u - MASK_BITS)));
}

// Values of some packets for each Stat, given what valid_count counted in them.
fn values_of(packets: u32, counted: u32) -> f32 {
    if MASKED {
        return f32(counted);
    }
    return f32(packets) * PACKET_VALUES;
}

// For each Stat a value near those of a packet, exactly theirs where all are the same: the mean of its first quad or, with a
// mask, the largest that is valid.
fn value_among(packet: Packet, valid: u32) -> array<Stat, STATS> {
    var quads = packet;
    var among = array<Stat, STATS>();
    for (var s = 0u; s < STATS; s++) {
        among[s] = collapse(quads[s] * PER_QUAD);
    }
    if MASKED {
        for (var s = 0u; s < STATS; s++) {
            among[s] = Stat(-3.4e38);
        }
        for (var k = 0u; k < QUADS; k++) {
            let ours = select(Quad(-3.4e38), quads[k], are_valid(valid, k));
            among[k % STATS] = max(among[k % STATS], largest(ours));
        }
    }
    return among;
}

// Goes on to the first packet with a valid value.
fn skip_padding(cursor: ptr<function, Cursor>) {
    if MASKED {
        while (*cursor).left > 0u && valid_at((*cursor).number) == 0u {
            advance(cursor);
            (*cursor).left -= 1u;
        }
    }
}
