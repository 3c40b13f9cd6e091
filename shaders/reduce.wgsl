// The moments of the invocations of one workgroup, merged as a tree: those of one column of it each.

var<workgroup> lanes: array<Moments, LANES>;

// Every invocation gets the moments of its column.
fn reduce(lane: u32, mine: Moments) -> Moments {
    lanes[lane] = mine;
    for (var half = LANES / 2u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = merge(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[lane % COLUMNS];
}
