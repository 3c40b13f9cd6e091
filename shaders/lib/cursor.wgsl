//! import params, tile
// An invocation's slice of a split, and its way through it. Invocations of a workgroup that share a slot take turns:
// neighbours read neighbours. A packet's index counts packets from the begin of the tensor.
// Planes: feature c of an `outer x features x inner` tensor is the planes (o, c) of `inner` values, one after the other.
// Rows: a row holds one value of each feature.

struct Cursor {
    index: u32,  // of the next packet
    inner: u32,  // planes: its place in the plane
    left: u32,   // packets still to read
    number: u32, // with a mask: which packet of the feature it is
    // Of params: a software adapter would gather them anew at every step.
    step_index: u32,
    step_inner: u32,
    plane: u32,
    jump: u32,
}

fn begin_slice(group: u32, invocation: u32) -> Cursor {
    let slot = slot_of(group, invocation);
    let step = WORKGROUP / TILE;
    let begin = split_of(group) * params.slice + invocation / TILE;
    let end = min((split_of(group) + 1u) * params.slice, params.total);
    let left = select(0u, (end - begin + step - 1u) / step, begin < end && slot < params.slots);
    var index = begin * params.plane + slot;
    var inner = 0u;
    if PLANES {
        inner = begin % params.plane;
        index = (begin / params.plane) * (params.plane + params.jump) + slot * params.plane + inner;
    }
    return Cursor(
        params.first + index,
        inner,
        left,
        params.number + begin,
        params.step_index,
        params.step_inner,
        params.plane,
        params.jump,
    );
}

fn advance(cursor: ptr<function, Cursor>) {
    (*cursor).index += (*cursor).step_index;
    if MASKED {
        (*cursor).number += WORKGROUP / TILE;
    }
    if PLANES {
        (*cursor).inner += (*cursor).step_inner;
        if (*cursor).inner >= (*cursor).plane {
            (*cursor).inner -= (*cursor).plane;
            (*cursor).index += (*cursor).jump;
        }
    }
}
