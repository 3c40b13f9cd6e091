// Normalize with the record and bias at one place.

fn apply_record(start: Walk, any_place: u32) {
    let place = min(any_place, params.places - 1u);
    let scale = stat_times(record[at(GAMMA, place)], record[at(INVSTD, place)]);
    apply(start, record[at(MEAN, place)], record[at(REST, place)], scale, state[at(BIAS, place)]);
}
