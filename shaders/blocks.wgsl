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
