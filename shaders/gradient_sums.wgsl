// The sums that the gradients of a feature are made of.

alias Item = Sums;

struct Sums {
    dy: Stat,
    dy_xhat: Stat,
}

fn combine(a: Sums, b: Sums) -> Sums {
    return Sums(a.dy + b.dy, a.dy_xhat + b.dy_xhat);
}

fn scaled(a: Sums, s: f32) -> Sums {
    return Sums(a.dy * s, a.dy_xhat * s);
}
