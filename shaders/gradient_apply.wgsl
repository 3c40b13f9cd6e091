// dx of what one workgroup reads.

fn apply(start: Walk, s: Standardize, g: Gradient) {
    var walk = start;
    for (var i = 0u; i < start.left; i++) {
        let xhat = standardized(load(walk.index), s);
        dx[walk.index] = gradient(load_gradient(walk.index), xhat, g);
        walk_next(&walk);
    }
}
