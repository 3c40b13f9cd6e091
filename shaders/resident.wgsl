// resident: training forward in one dispatch, where one workgroup takes all values of its features: their moments,
// their records and running statistics, then y, from a second read of x that finds it in a cache.
// Reads x twice (from memory once); writes y once, the record (16 bytes per feature), running statistics (8).
// Dispatch: params.groups workgroups of LANES, params.chunks = 1.

@group(0) @binding(5) var<storage, read_write> record: array<Record>;

fn record_of(feature: u32) -> Record {
    return record[feature];
}

fn bias_of(feature: u32) -> f32 {
    return state[bias_index(feature)];
}

@compute @workgroup_size(LANES)
fn resident(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) size: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * size.x;
    if group >= params.groups {
        return;
    }
    let first = first_feature(group, lane);
    let start = walk_begin(group, lane);
    let m = reduce(lane, accumulate(start));
    if lane < COLUMNS {
        for (var k = 0u; k < SPAN; k++) {
            if first + k < params.features {
                record[first + k] =
                    finish(first + k, stat_pick(m.shift, k), stat_pick(m.mean, k), stat_pick(m.square, k));
            }
        }
    }
    storageBarrier();
    apply(start, affine_at(first));
}
