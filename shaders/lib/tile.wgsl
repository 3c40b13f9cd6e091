//! import params
// Which slots a workgroup works on, and in which split. A slot is a feature (planes) or a packet of a row (rows).

// The number of a workgroup in a dispatch that may be folded into two dimensions.
fn group_of(id: vec3<u32>, size: vec3<u32>) -> u32 {
    return id.x + id.y * size.x;
}

// The same from the last to the first: what was reduced last is the likeliest to be in a cache still.
fn group_from_last(id: vec3<u32>, size: vec3<u32>) -> u32 {
    return params.groups - 1u - group_of(id, size);
}

fn tiles() -> u32 {
    return (params.slots + TILE - 1u) / TILE;
}

// The slot of an invocation. In the last tile it may be past the end.
fn slot_of(group: u32, invocation: u32) -> u32 {
    return (group % tiles()) * TILE + invocation % TILE;
}

fn split_of(group: u32) -> u32 {
    return group / tiles();
}

// A slot that vectors of C values may be read at, for invocations that have none too.
fn clamped(slot: u32) -> u32 {
    return min(slot, params.slots - 1u);
}

// Whether the invocation is the one that writes what its workgroup found out about the slot.
fn writes(invocation: u32, slot: u32) -> bool {
    return invocation < TILE && slot < params.slots;
}
