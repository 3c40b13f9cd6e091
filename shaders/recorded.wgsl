// Normalization with the record and bias at one place.

fn recorded(any_place: u32) -> Affine {
    let place = min(any_place, params.places - 1u);
    let scale = stat_times(record[at(GAMMA, place)], record[at(INVSTD, place)]);
    return affine(record[at(MEAN, place)], record[at(REST, place)], scale, state[at(BIAS, place)]);
}
