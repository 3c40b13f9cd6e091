// dx = weight * invstd * (dy - mean(dy) - xhat * mean(dy * xhat)) of one Value (Ioffe & Szegedy 2015, section 3, with
// the biased variance). Where running statistics normalized, the two means are 0.

struct Gradient {
    scale: Value,
    mean: Value,
    slope: Value,
}

fn gradient_at(place: u32, s: Standardize, means: Sums) -> Gradient {
    let scale = times(spread(record[at(GAMMA, place)]), s.invstd);
    return Gradient(scale, spread(means.dy), spread(means.dy_xhat));
}

fn gradient(dy_here: Value, xhat: Value, g: Gradient) -> Value {
    return times(dy_here - g.mean - times(xhat, g.slope), g.scale);
}
