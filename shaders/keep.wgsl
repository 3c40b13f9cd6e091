// Keeps the record of one place.

fn keep(place: u32, made: Record) {
    record[at(MEAN, place)] = made.mean;
    record[at(REST, place)] = made.rest;
    record[at(INVSTD, place)] = made.invstd;
    record[at(GAMMA, place)] = made.gamma;
}
