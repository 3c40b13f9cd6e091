// Normalize and scale what one workgroup reads.

fn apply(start: Walk, a: Affine) {
    var walk = start;
    for (var i = 0u; i < start.left; i++) {
        y[walk.index] = transform(load(walk.index), a);
        walk_next(&walk);
    }
}
