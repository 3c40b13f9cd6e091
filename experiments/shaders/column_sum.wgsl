// Sums over the rows of a row-major matrix: the bias gradient of a linear layer, from its output gradient.
//
// Bindings: 0 (rows, columns), 1 the matrix, 2 the sums, one per column.
// Dispatch: ceil(columns / 16) workgroups; 16 × 16 invocations sum 16 columns, each every 16th row.

@group(0) @binding(0) var<uniform> size: vec2<u32>;
@group(0) @binding(1) var<storage, read> matrix: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

var<workgroup> partials: array<f32, 256>;

@compute @workgroup_size(16, 16)
fn column_sum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * 16u + local.x;
    var sum = 0.0;
    if column < size.y {
        for (var row = local.y; row < size.x; row += 16u) {
            sum += matrix[row * size.y + column];
        }
    }
    partials[local.y * 16u + local.x] = sum;
    workgroupBarrier();
    if local.y == 0u && column < size.y {
        var total = 0.0;
        for (var i = 0u; i < 16u; i++) {
            total += partials[i * 16u + local.x];
        }
        sums[column] = total;
    }
}
