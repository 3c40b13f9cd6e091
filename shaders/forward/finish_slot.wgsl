//! import tile, finish, affine
// What an invocation does of all the statistics that it holds, where one dispatch does everything.

alias Runnings = array<Running, STATS>;

fn runnings_at(slot: u32) -> Runnings {
    var runnings = Runnings();
    for (var n = 0u; n < stats(); n++) {
        let running = running_at(slot * STATS + n);
        for (var s = 0u; s < STATS; s++) {
            if s == n {
                runnings[s] = running;
            }
        }
    }
    return runnings;
}

fn old_of(old: ptr<function, Runnings>, n: u32) -> Running {
    var running = (*old)[0];
    for (var s = 0u; s < STATS; s++) {
        if s == n {
            running = (*old)[s];
        }
    }
    return running;
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
    for (var n = 0u; n < stats(); n++) {
        let i = clamped(any_slot) * STATS + n;
        let statistics = finish(i, item_of(moments, n), old_of(old, n), writes(invocation, any_slot));
        set_affine(&affines, n, affine_of(statistics));
    }
    return affines;
}
