//! import params
// What the invocations of one workgroup hold of a slot (Moments or Sums), combined as a tree.

alias Items = array<Item, STATS>;

var<workgroup> shared_items: array<Items, WORKGROUP>;

// Every invocation gets what all those of its slot hold.
fn reduce(invocation: u32, mine: Items) -> Items {
    // Every invocation has its slot to itself. Without a barrier a software adapter keeps everything in registers.
    if TILE == WORKGROUP {
        return mine;
    }
    shared_items[invocation] = mine;
    for (var half = WORKGROUP / 2u; half >= TILE; half /= 2u) {
        workgroupBarrier();
        if invocation < half {
            for (var s = 0u; s < STATS; s++) {
                shared_items[invocation][s] = combine(shared_items[invocation][s], shared_items[invocation + half][s]);
            }
        }
    }
    workgroupBarrier();
    return shared_items[invocation % TILE];
}
