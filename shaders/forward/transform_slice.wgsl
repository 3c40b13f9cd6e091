//! import cursor, affine, finished, valid
// y of an invocation's slice.

fn transform_slice(start: Cursor, affines: ptr<function, Affines>) {
    var cursor = start;
    for (var i = 0u; i < start.left; i++) {
        let values = transform(load_x(cursor.index), affines);
        store_y(cursor.index, only_valid(finished(values, cursor.index), valid_at(cursor.number)));
        advance(&cursor);
    }
}
