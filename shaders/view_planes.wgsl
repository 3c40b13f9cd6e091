// The view `outer x features x inner` for channels-first tensors: feature c is the planes (o, c) of `inner` values.
// A workgroup reads one chunk of one feature, its invocations side by side, plane after plane: for any length of
// the planes all of them are busy and neighbours read neighbours.

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

// The place of an invocation's Stat in vectors of C values: its feature.
fn place_of(group: u32, lane: u32) -> u32 {
    return group % params.places;
}

fn chunk_of(group: u32) -> u32 {
    return group / params.places;
}

fn walk_begin(group: u32, lane: u32) -> Walk {
    let begin = chunk_of(group) * params.chunk + lane;
    let end = min((chunk_of(group) + 1u) * params.chunk, params.total);
    let inner = begin % params.plane;
    let feature = place_of(group, lane);
    let index = (begin / params.plane) * (params.plane + params.jump) + feature * params.plane + inner;
    let left = select(0u, (end - begin + LANES - 1u) / LANES, begin < end);
    return Walk(index, inner, left, params.step_index, params.step_inner, params.plane, params.jump);
}

fn walk_next(walk: ptr<function, Walk>) {
    (*walk).index += (*walk).step_index;
    (*walk).inner += (*walk).step_inner;
    if (*walk).inner >= (*walk).plane {
        (*walk).inner -= (*walk).plane;
        (*walk).index += (*walk).jump;
    }
}
