// Matrix product C = A·B, or C = A·B + bias with one bias per column.
//
// A is rows × depth, B is depth × columns, C is rows × columns and row-major. A and B are read through
// strides, so this is every product of a linear layer y = x·Wᵀ + bias with W stored (out, in):
//   forward y = x·Wᵀ      input gradient dx = dy·W      weight gradient dW = dyᵀ·x
// Bindings: 0 Product, 1 A, 2 B, 3 C, 4 bias (`matmul_bias` only).
// Dispatch: ceil(columns / 64) × ceil(rows / 64) workgroups; each computes a 64 × 64 tile of C with 8 × 8
// invocations. An invocation computes 8 × 8 values that lie 8 rows and 8 columns apart, so that neighbours read
// neighbouring values. Its sums are variables and not an array, which SwiftShader would keep in memory. There is no
// workgroup memory: software adapters pay for barriers, and caches hold the operands of these networks.

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

// Eight values in a row.
struct Row {
    left: vec4<f32>,
    right: vec4<f32>,
}

// What an invocation computes: eight rows.
struct Tile {
    row0: Row,
    row1: Row,
    row2: Row,
    row3: Row,
    row4: Row,
    row5: Row,
    row6: Row,
    row7: Row,
}

// Four places in a row or column, 8 apart. Those past the end become the last, and what is computed there is not
// stored.
fn places(first: u32, end: u32) -> vec4<u32> {
    return min(first + vec4(0u, 8u, 16u, 24u), vec4(end - 1u));
}

fn b_at(at: vec4<u32>) -> vec4<f32> {
    return vec4(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn plus(sum: Row, factor: f32, row: Row) -> Row {
    return Row(sum.left + factor * row.left, sum.right + factor * row.right);
}

// Sums of 16 products are summed: in one long sum, rounding errors add up.
fn multiply(row: u32, column: u32) -> Tile {
    var top = places(row, product.rows) * product.a_row;
    var bottom = places(row + 32u, product.rows) * product.a_row;
    var left = places(column, product.columns) * product.b_column;
    var right = places(column + 32u, product.columns) * product.b_column;
    var sum = Tile();
    for (var start = 0u; start < product.depth; start += 16u) {
        var part = Tile();
        for (var depth = start; depth < min(start + 16u, product.depth); depth++) {
            let values = Row(b_at(left), b_at(right));
            part.row0 = plus(part.row0, a[top.x], values);
            part.row1 = plus(part.row1, a[top.y], values);
            part.row2 = plus(part.row2, a[top.z], values);
            part.row3 = plus(part.row3, a[top.w], values);
            part.row4 = plus(part.row4, a[bottom.x], values);
            part.row5 = plus(part.row5, a[bottom.y], values);
            part.row6 = plus(part.row6, a[bottom.z], values);
            part.row7 = plus(part.row7, a[bottom.w], values);
            top += product.a_depth;
            bottom += product.a_depth;
            left += product.b_depth;
            right += product.b_depth;
        }
        sum.row0 = plus(sum.row0, 1.0, part.row0);
        sum.row1 = plus(sum.row1, 1.0, part.row1);
        sum.row2 = plus(sum.row2, 1.0, part.row2);
        sum.row3 = plus(sum.row3, 1.0, part.row3);
        sum.row4 = plus(sum.row4, 1.0, part.row4);
        sum.row5 = plus(sum.row5, 1.0, part.row5);
        sum.row6 = plus(sum.row6, 1.0, part.row6);
        sum.row7 = plus(sum.row7, 1.0, part.row7);
    }
    return sum;
}

fn store_four(row: u32, column: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if row < product.rows && column + 8u * i < product.columns {
            c[row * product.columns + column + 8u * i] = values[i];
        }
    }
}

fn store_row(row: u32, column: u32, values: Row) {
    store_four(row, column, values.left);
    store_four(row, column + 32u, values.right);
}

// The sums plus a shift of each column.
fn store(row: u32, column: u32, sum: Tile, shift: Row) {
    store_row(row, column, plus(sum.row0, 1.0, shift));
    store_row(row + 8u, column, plus(sum.row1, 1.0, shift));
    store_row(row + 16u, column, plus(sum.row2, 1.0, shift));
    store_row(row + 24u, column, plus(sum.row3, 1.0, shift));
    store_row(row + 32u, column, plus(sum.row4, 1.0, shift));
    store_row(row + 40u, column, plus(sum.row5, 1.0, shift));
    store_row(row + 48u, column, plus(sum.row6, 1.0, shift));
    store_row(row + 56u, column, plus(sum.row7, 1.0, shift));
}

@compute @workgroup_size(8, 8)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = group.y * 64u + local.y;
    let column = group.x * 64u + local.x;
    store(row, column, multiply(row, column), Row());
}

fn biases(column: u32) -> vec4<f32> {
    let at = places(column, product.columns);
    return vec4(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
}

@compute @workgroup_size(8, 8)
fn matmul_bias(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = group.y * 64u + local.y;
    let column = group.x * 64u + local.x;
    store(row, column, multiply(row, column), Row(biases(column), biases(column + 32u)));
}
