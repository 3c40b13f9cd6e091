//! import tile, reduce, saved, gradient, gradient_means, finish_gradients
// What an invocation does of all the sums that it holds, where one dispatch does everything.

// Finishes a slot, whose workgroup has these sums. Every invocation gets what it needs for dx.
fn finish_gradient_slot(invocation: u32, any_slot: u32, sums: ptr<function, Items>) -> Gradients {
    var gradients = Gradients();
    for (var n = 0u; n < stats(); n++) {
        let i = clamped(any_slot) * STATS + n;
        let mine = item_of(sums, n);
        if writes(invocation, any_slot) {
            finish_gradients(i, mine);
        }
        set_gradient(&gradients, n, gradient_of(saved_at(i), means_of(mine, saved_at(i))));
    }
    return gradients;
}
