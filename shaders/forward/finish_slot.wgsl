//! import tile, finish, affine
// What an invocation does of all the statistics that it holds, where one dispatch does everything.

alias Runnings = array<Running, STATS>;

fn runnings_at(slot: u32) -> Runnings {
    var runnings = Runnings();
    for (var s = 0u; s < STATS; s++) {
        runnings[s] = running_at(slot * STATS + s);
    }
    return runnings;
}

// Finishes a slot, whose workgroup has these moments. Every invocation gets what it needs to normalize.
fn finish_slot(
    invocation: u32,
    any_slot: u32,
    moments: ptr<function, Items>,
    old: ptr<function, Runnings>,
) -> Affines {
    // All invocations have read what one of them overwrites.
    if TILE < WORKGROUP {
        storageBarrier();
    }
    var affines = Affines();
    for (var s = 0u; s < STATS; s++) {
        let i = clamped(any_slot) * STATS + s;
        affines[s] = affine_of(finish(i, (*moments)[s], (*old)[s], writes(invocation, any_slot)));
    }
    return affines;
}
