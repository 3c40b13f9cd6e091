//! import tile, reduce
// What the splits of a slot left (Moments or Sums), combined level by level, so that no sum is long.

const FAN = 40u; // FAN^3 is more than the splits there may be

// The splits `first`, `first + step` and so on.
fn merge_splits(slot: u32, first: u32, step: u32) -> Item {
    var all = Item();
    var split = first;
    while split < params.splits {
        var large = Item();
        for (var i = 0u; i < FAN && split < params.splits; i++) {
            var small = Item();
            for (var j = 0u; j < FAN && split < params.splits; j++) {
                small = combine(small, partial_at(split, slot));
                split += step;
            }
            large = combine(large, small);
        }
        all = combine(all, large);
    }
    return all;
}

// The same of all invocations that have the slot, each of which takes its share of the splits.
fn merged(slot: u32, invocation: u32) -> Item {
    var mine = Items();
    if slot < params.slots {
        mine[0] = merge_splits(slot, invocation / TILE, WORKGROUP / TILE);
    }
    return reduce(invocation, mine)[0];
}
