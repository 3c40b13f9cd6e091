//! import packet
// Gradient sums: what the gradients of a feature are made of.

struct Sums {
    dy: Stat,
    dy_xhat: Stat,
}

fn add_sums(a: Sums, b: Sums) -> Sums {
    return Sums(a.dy + b.dy, a.dy_xhat + b.dy_xhat);
}
