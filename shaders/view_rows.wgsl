// The view `outer x features x 1` for channels-last and (N, C) tensors: a row holds one value of each feature.
// A workgroup reads a block of COLUMNS Values side by side in one chunk of the rows, LANES / COLUMNS rows at a time.

alias Sum = Value;

fn sum_of(v: Value) -> Sum {
    return v;
}

fn stat_of(s: Sum) -> Stat {
    return s;
}

fn spread(s: Stat) -> Value {
    return s;
}

// A sample of each feature.
fn sample(v: Value) -> Stat {
    return v;
}

// Values that a Stat collects from one Value of the walk.
const PER_VALUE = 1.0;

// An invocation's way through its chunk.
struct Walk {
    index: u32,      // of the next Value in the tensor
    left: u32,       // Values still to read
    step_index: u32, // of params, which a software adapter would gather anew for each Value
}

fn walk_begin(group: u32, lane: u32) -> Walk {
    let share = share_of(group, lane);
    return Walk(share.begin * params.plane + place_of(group, lane), share.count, params.step_index);
}

fn walk_next(walk: ptr<function, Walk>) {
    (*walk).index += (*walk).step_index;
}
