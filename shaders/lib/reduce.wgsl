//! import packet
// What the invocations of one workgroup hold of a slot (Moments or Sums), combined as a tree.

alias Items = array<Item, STATS>;

fn combine_items(into: ptr<function, Items>, more: ptr<function, Items>) {
    for (var s = 0u; s < STATS; s++) {
        (*into)[s] = combine((*into)[s], (*more)[s]);
    }
}

// Item n, whose number only the device knows: the array that holds it is indexed by constants and stays in registers.
fn item_of(items: ptr<function, Items>, n: u32) -> Item {
    var item = (*items)[0];
    for (var s = 0u; s < STATS; s++) {
        if s == n {
            item = (*items)[s];
        }
    }
    return item;
}

fn set_item(items: ptr<function, Items>, n: u32, item: Item) {
    for (var s = 0u; s < STATS; s++) {
        if s == n {
            (*items)[s] = item;
        }
    }
}

override SHARED: u32 = STATS * WORKGROUP;
var<workgroup> shared_items: array<Item, SHARED>;

// Every invocation gets what all those of its slot hold.
fn reduce(invocation: u32, mine: Items) -> Items {
    // Every invocation has its slot to itself. Without a barrier a software adapter keeps everything in registers.
    if TILE == WORKGROUP {
        return mine;
    }
    var all = mine;
    // From a number that no compiler knows: one that unrolls loops with barriers takes several times as long. There is one
    // place that writes workgroup memory and one that reads it, since a software adapter's compiler takes long for each.
    for (var width = WORKGROUP + params.zero; width >= TILE; width /= 2u) {
        if invocation < width {
            for (var n = 0u; n < stats(); n++) {
                shared_items[n * WORKGROUP + invocation] = item_of(&all, n);
            }
        }
        workgroupBarrier();
        let half = width / 2u;
        let ends = width == TILE;
        if ends || invocation < half {
            let other = select(invocation + half, invocation % TILE, ends);
            for (var n = 0u; n < stats(); n++) {
                let item = shared_items[n * WORKGROUP + other];
                if ends {
                    set_item(&all, n, item);
                } else {
                    set_item(&all, n, combine(item_of(&all, n), item));
                }
            }
        }
    }
    return all;
}
