// The moments of what one workgroup holds: in each invocation first the mean, then the squares of deviations from it.

fn held_moments(held: ptr<function, Held>, left: u32) -> Moments {
    var moments = Moments();
    if left == 0u {
        return moments;
    }
    let values = f32(left) * PER_VALUE;
    let base = sample((*held)[0]);
    let near = spread(base);
    var sum = sum_of(splat(0.0));
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            sum += sum_of((*held)[i] - near);
        }
    }
    let shift = stat_opaque(base + stat_of(sum) * (1.0 / values));

    let unit = params.unit;
    let origin = spread(shift);
    sum = sum_of(splat(0.0));
    var squares = sum_of(splat(0.0));
    for (var i = 0u; i < HELD; i++) {
        if i < left {
            let deviation = ((*held)[i] - origin) * unit;
            sum += sum_of(deviation);
            squares += sum_of(times(deviation, deviation));
        }
    }
    let mean = stat_of(sum) * (1.0 / values);
    return Moments(values, shift, mean * (1.0 / unit), stat_of(squares) - stat_times(mean, mean) * values);
}
