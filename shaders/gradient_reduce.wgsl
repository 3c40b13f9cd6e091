// The sums of the invocations of one workgroup, added up as a tree: those of one column of it each.

var<workgroup> lanes: array<Sums, LANES>;

// Every invocation gets the sums of its column.
fn reduce(lane: u32, mine: Sums) -> Sums {
    lanes[lane] = mine;
    for (var half = LANES / 2u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = add(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[lane % COLUMNS];
}
