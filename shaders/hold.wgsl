// Held: all that one invocation reads, kept in registers from its only read to its last use. Loops over it have a
// constant number of turns, so that compilers unroll them.

alias Held = array<Value, HELD>;

fn hold(start: Walk) -> Held {
    var held = Held();
    var walk = start;
    for (var i = 0u; i < HELD; i++) {
        if i < start.left {
            held[i] = load(walk.index);
        }
        walk_next(&walk);
    }
    return held;
}
