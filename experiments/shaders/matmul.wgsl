// Matrix product C = A·B, or C = A·B + bias with one bias per column.
//
// A is rows × depth, B is depth × columns, C is rows × columns and row-major. A and B are read through
// strides, so this is every product of a linear layer y = x·Wᵀ + bias with W stored (out, in):
//   forward y = x·Wᵀ      input gradient dx = dy·W      weight gradient dW = dyᵀ·x
// Bindings: 0 Product, 1 A, 2 B, 3 C, 4 bias (`matmul_bias` only).
// Dispatch: ceil(columns / 64) × ceil(rows / 64) workgroups; each computes a 64 × 64 tile of C with 8 × 8
// invocations of four blocks of 4 × 4 values.

struct Product {
    rows: u32,
    columns: u32,
    depth: u32,
    a_row: u32,
    a_depth: u32,
    b_depth: u32,
    b_column: u32,
}

@group(0) @binding(0) var<uniform> product: Product;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

// What a workgroup reads of A and B at a time. a_tile[row * 4 + d] holds 4 successive depths of one of 64 rows,
// b_tile[depth * 16 + c] holds 4 successive columns at one of 16 depths.
var<workgroup> a_tile: array<vec4<f32>, 256>;
var<workgroup> b_tile: array<vec4<f32>, 256>;

// Values outside the matrices count as 0.
fn a_at(row: u32, depth: u32) -> f32 {
    if row < product.rows && depth < product.depth {
        return a[row * product.a_row + depth * product.a_depth];
    }
    return 0.0;
}

fn b_at(depth: u32, column: u32) -> f32 {
    if depth < product.depth && column < product.columns {
        return b[depth * product.b_depth + column * product.b_column];
    }
    return 0.0;
}

// Fills the tiles from depth `start` on.
fn load(group: vec3<u32>, invocation: u32, start: u32) {
    for (var slot = invocation; slot < 256u; slot += 64u) {
        let row = group.y * 64u + slot / 4u;
        let depth = start + (slot % 4u) * 4u;
        a_tile[slot] = vec4(a_at(row, depth), a_at(row, depth + 1u), a_at(row, depth + 2u), a_at(row, depth + 3u));
        let at = start + slot / 16u;
        let column = group.x * 64u + (slot % 16u) * 4u;
        b_tile[slot] = vec4(b_at(at, column), b_at(at, column + 1u), b_at(at, column + 2u), b_at(at, column + 3u));
    }
}

// Four rows of four depths in the tile: block `i` of 16 rows, block `d` of 4 depths.
fn a_block(i: u32, d: u32) -> mat4x4<f32> {
    let at = i * 16u + d;
    return mat4x4(a_tile[at], a_tile[at + 4u], a_tile[at + 8u], a_tile[at + 12u]);
}

// Four depths of four columns in the tile.
fn b_block(d: u32, i: u32) -> mat4x4<f32> {
    let at = d * 64u + i;
    return mat4x4(b_tile[at], b_tile[at + 16u], b_tile[at + 32u], b_tile[at + 48u]);
}

// The four blocks of an invocation lie 32 rows and 32 columns apart. The vectors of a block are its rows.
struct Blocks {
    top_left: mat4x4<f32>,
    top_right: mat4x4<f32>,
    bottom_left: mat4x4<f32>,
    bottom_right: mat4x4<f32>,
}

fn multiply(group: vec3<u32>, local: vec3<u32>) -> Blocks {
    var sum = Blocks();
    for (var start = 0u; start < product.depth; start += 16u) {
        load(group, local.y * 8u + local.x, start);
        workgroupBarrier();
        for (var d = 0u; d < 4u; d++) {
            let top = a_block(local.y, d);
            let bottom = a_block(local.y + 8u, d);
            let left = b_block(d, local.x);
            let right = b_block(d, local.x + 8u);
            // WGSL's vectors of a matrix are its columns, so this is the product of the transposes.
            sum.top_left += left * top;
            sum.top_right += right * top;
            sum.bottom_left += left * bottom;
            sum.bottom_right += right * bottom;
        }
        workgroupBarrier();
    }
    return sum;
}

fn store_row(row: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if row < product.rows && column + i < product.columns {
            c[row * product.columns + column + i] = values[i];
        }
    }
}

fn store_block(row: u32, column: u32, block: mat4x4<f32>, shift: vec4<f32>) {
    store_row(row, column, block[0] + shift);
    store_row(row + 1u, column, block[1] + shift);
    store_row(row + 2u, column, block[2] + shift);
    store_row(row + 3u, column, block[3] + shift);
}

@compute @workgroup_size(8, 8)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let sum = multiply(group, local);
    let row = group.y * 64u + local.y * 4u;
    let column = group.x * 64u + local.x * 4u;
    let none = vec4(0.0);
    store_block(row, column, sum.top_left, none);
    store_block(row, column + 32u, sum.top_right, none);
    store_block(row + 32u, column, sum.bottom_left, none);
    store_block(row + 32u, column + 32u, sum.bottom_right, none);
}

fn bias_at(column: u32) -> f32 {
    if column < product.columns {
        return bias[column];
    }
    return 0.0;
}

fn biases(column: u32) -> vec4<f32> {
    return vec4(bias_at(column), bias_at(column + 1u), bias_at(column + 2u), bias_at(column + 3u));
}

@compute @workgroup_size(8, 8)
fn matmul_bias(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let sum = multiply(group, local);
    let row = group.y * 64u + local.y * 4u;
    let column = group.x * 64u + local.x * 4u;
    let left = biases(column);
    let right = biases(column + 32u);
    store_block(row, column, sum.top_left, left);
    store_block(row, column + 32u, sum.top_right, right);
    store_block(row + 32u, column, sum.bottom_left, left);
    store_block(row + 32u, column + 32u, sum.bottom_right, right);
}
