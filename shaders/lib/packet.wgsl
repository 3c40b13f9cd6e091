//! import params
// A packet is what one invocation loads at a time: QUADS Quads, one after the other in memory. A Quad is four float32, or
// one where planes or rows are not a multiple of four long. A Stat is a statistic as an invocation holds it: a number in
// planes, whose values are all of one feature; a Quad in rows, whose columns are features of their own. An invocation
// holds STATS of them: Quad k belongs to Stat k % STATS.

alias Packet = array<Quad, QUADS>;

// One over the values that a Stat takes from a Quad, and from a packet.
const PER_QUAD = 1.0 / QUAD_VALUES;
const PACKET_VALUES = QUAD_VALUES * f32(QUADS / STATS);

// The sum of four values.
fn sum_of_four(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// What a packet's running sums add up to for Stat s.
fn total(sums: ptr<function, Packet>, s: u32) -> Stat {
    var sum = (*sums)[s];
    for (var k = s + STATS; k < QUADS; k += STATS) {
        sum += (*sums)[k];
    }
    return collapse(sum);
}

// params.zero, in a register.
var<private> zero: u32;

// The same bits, which no compiler can reassociate across.
fn opaque(s: Stat) -> Stat {
    return bitcast<Stat>(bitcast<Bits>(s) ^ Bits(zero));
}

// STATS, which no compiler knows where it is more than one: a loop up to it stays a loop. What is done once is written so,
// since a software adapter's compiler takes long for every load and store.
fn stats() -> u32 {
    if STATS == 1u {
        return 1u;
    }
    return STATS + params.zero;
}
