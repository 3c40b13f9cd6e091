//! import packet
// All that one invocation reads of a tensor, kept in registers from its only read to its last use. Loops over it have a
// constant number of turns, so that compilers unroll them.

alias Held = array<Packet, HELD>;
// The bits of each in the mask.
alias Valid = array<u32, HELD>;
