// What a workgroup works on: one chunk of a block of COLUMNS Stats side by side.

fn blocks() -> u32 {
    return (params.places + COLUMNS - 1u) / COLUMNS;
}

// The place of an invocation's Stat in vectors of C values. In the last block it may be past the end.
fn place_of(group: u32, lane: u32) -> u32 {
    return (group % blocks()) * COLUMNS + lane % COLUMNS;
}

fn chunk_of(group: u32) -> u32 {
    return group / blocks();
}

// An invocation's share of the chunk: Values of its feature (planes) or rows, the first and how many; each is
// LANES / COLUMNS after the one before.
struct Share {
    begin: u32,
    count: u32,
}

fn share_of(group: u32, lane: u32) -> Share {
    let begin = chunk_of(group) * params.chunk + lane / COLUMNS;
    let end = min((chunk_of(group) + 1u) * params.chunk, params.total);
    let step = LANES / COLUMNS;
    let some = begin < end && place_of(group, lane) < params.places;
    return Share(begin, select(0u, (end - begin + step - 1u) / step, some));
}
