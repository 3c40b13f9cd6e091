// The view `outer x features x inner` for channels-first tensors: feature c is the planes (o, c) of `inner` values.
// A workgroup reads one chunk of COLUMNS features, LANES / COLUMNS invocations each, plane after plane. With one feature,
// neighbours read neighbours and all are busy whatever the length of the planes: for GPUs. With as many features as
// invocations, nobody has anything to merge: for software adapters, which read lane by lane anyway.

alias Sum = Part;

fn sum_of(v: Value) -> Sum {
    return part(v);
}

fn stat_of(s: Sum) -> Stat {
    return total(s);
}

fn spread(s: Stat) -> Value {
    return splat(s);
}

// A sample of the feature.
fn sample(v: Value) -> Stat {
    return first(v);
}

// Values that a Stat collects from one Value of the walk.
const PER_VALUE = f32(WIDTH);

// An invocation's way through its chunk.
struct Walk {
    index: u32, // of the next Value in the tensor
    inner: u32, // its place in the plane
    left: u32,  // Values still to read
    // Of params, which a software adapter would gather anew for each Value.
    step_index: u32,
    step_inner: u32,
    plane: u32,
    jump: u32,
}

fn walk_begin(group: u32, lane: u32) -> Walk {
    let share = share_of(group, lane);
    let inner = share.begin % params.plane;
    let feature = place_of(group, lane) * params.plane;
    let index = (share.begin / params.plane) * (params.plane + params.jump) + feature + inner;
    return Walk(index, inner, share.count, params.step_index, params.step_inner, params.plane, params.jump);
}

fn walk_next(walk: ptr<function, Walk>) {
    (*walk).index += (*walk).step_index;
    (*walk).inner += (*walk).step_inner;
    if (*walk).inner >= (*walk).plane {
        (*walk).inner -= (*walk).plane;
        (*walk).index += (*walk).jump;
    }
}
