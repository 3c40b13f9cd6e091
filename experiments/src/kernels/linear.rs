//! Products of matrices, for linear layers and their gradients.

use testkit::kernel::Dispatch;
use wgpu_batchnorm::wgpu::BufferBinding;

use super::Kernels;

/// A row-major matrix, or with `transposed` the transpose of one.
pub struct Operand<'a> {
    pub binding: BufferBinding<'a>,
    /// Values per row as stored.
    pub width: u32,
    pub transposed: bool,
}

impl Operand<'_> {
    /// Distances between the neighbours in a column and in a row.
    fn strides(&self) -> [u32; 2] {
        if self.transposed { [1, self.width] } else { [self.width, 1] }
    }
}

pub fn matrix(binding: BufferBinding<'_>, width: u32) -> Operand<'_> {
    Operand { binding, width, transposed: false }
}

pub fn transpose(binding: BufferBinding<'_>, width: u32) -> Operand<'_> {
    Operand { binding, width, transposed: true }
}

impl Kernels {
    /// C = A·B, plus a bias per column. `rows` × `columns` is the size of C, `depth` the length of the sums.
    pub fn matmul(
        &self,
        [rows, columns, depth]: [u32; 3],
        a: Operand,
        b: Operand,
        bias: Option<BufferBinding>,
        c: BufferBinding,
    ) -> Dispatch {
        let ([a_row, a_depth], [b_depth, b_column]) = (a.strides(), b.strides());
        let product = self.uniform(&[rows, columns, depth, a_row, a_depth, b_depth, b_column, 0]);
        let workgroups = [columns.div_ceil(64), rows.div_ceil(64)];
        let mut bindings =
            vec![(0, product.as_entire_buffer_binding()), (1, a.binding), (2, b.binding), (3, c)];
        let pipeline = if bias.is_some() { &self.matmul_bias } else { &self.matmul };
        bindings.extend(bias.map(|bias| (4, bias)));
        self.dispatch(pipeline, bindings, workgroups)
    }

    /// Sums over the rows of a `rows` × `columns` matrix.
    pub fn column_sum(
        &self,
        [rows, columns]: [u32; 2],
        matrix: BufferBinding,
        sums: BufferBinding,
    ) -> Dispatch {
        let size = self.uniform(&[rows, columns]);
        let bindings = vec![(0, size.as_entire_buffer_binding()), (1, matrix), (2, sums)];
        self.dispatch(&self.column_sum, bindings, [columns.div_ceil(16), 1])
    }
}
