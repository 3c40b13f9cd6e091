// What the invocations of one workgroup hold (Moments or Sums), combined as a tree: those of one column of it each.

var<workgroup> lanes: array<Item, LANES>;

// Every invocation gets what its column holds.
fn reduce(lane: u32, mine: Item) -> Item {
    // Nobody shares a column. Without a barrier a software adapter keeps everything in registers.
    if COLUMNS == LANES {
        return mine;
    }
    lanes[lane] = mine;
    for (var half = LANES / 2u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[lane % COLUMNS];
}
