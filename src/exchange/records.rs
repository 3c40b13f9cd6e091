//! Records on the host.

use bytemuck::{cast_slice, pod_collect_to_vec};

use super::{Record, RecordError};
use crate::cpu::{Moments, merge};
use crate::kernels::{DeviceError, Readback, checked};
use crate::layer::{BatchNorm, ReadError};
use crate::tensor::{Bound, Tensor};

/// What a record keeps of a variance.
const VARIANCE_SHARE: f64 = 1.0 / 16.0;

/// The moments in a record, whose vectors are so many float32 apart
/// ([`BatchNorm::parameter_stride`](crate::BatchNorm::parameter_stride) in one that was copied from a device).
///
/// # Panics
/// Where the record is too short.
pub fn moments_of(record: &[f32], features: usize, stride: usize) -> Vec<Moments> {
    let at = |vector: usize, c: usize| f64::from(record[vector * stride + c]);
    let of_feature =
        |c| Moments { count: at(0, c), mean: at(1, c) + at(2, c), variance: at(3, c) / VARIANCE_SHARE };
    (0..features).map(of_feature).collect()
}

/// The moments of all these records together, merged in this order; vectors of a record lie one behind the other.
///
/// # Panics
/// Where a record is too short.
pub fn merge_records<'a>(records: impl IntoIterator<Item = &'a [f32]>, features: usize) -> Vec<Moments> {
    let mut all = vec![Moments::default(); features];
    // Record by record, as they lie in memory: of many ranks they are more than a cache holds.
    for record in records {
        for (all, moments) in all.iter_mut().zip(moments_of(record, features, features)) {
            *all = merge(*all, moments);
        }
    }
    all
}

/// The record of moments, its vectors so many float32 apart; zeros between.
///
/// # Panics
/// Where the stride is less than the features.
pub fn record_of(moments: &[Moments], stride: usize) -> Vec<f32> {
    let mut record = vec![0.0; 4 * stride];
    assert!(moments.len() <= stride, "{} features in vectors of {stride}", moments.len());
    for (c, &Moments { count, mean, variance }) in moments.iter().enumerate() {
        let near = mean as f32;
        // Of an infinite mean nothing is missing.
        let rest = if near.is_finite() { (mean - f64::from(near)) as f32 } else { 0.0 };
        let values = [count as f32, near, rest, (variance * VARIANCE_SHARE) as f32];
        values.into_iter().enumerate().for_each(|(vector, value)| record[vector * stride + c] = value);
    }
    record
}

/// A record of the caller's that can be written.
pub(super) fn writable(
    layer: &BatchNorm,
    tensor: Tensor,
    record: &wgpu::BufferBinding<'_>,
    bytes: u64,
) -> Result<Bound, RecordError> {
    let bound = layer.bound(tensor, record, bytes).map_err(RecordError::Record)?;
    match bound.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
        true => Ok(bound),
        false => Err(RecordError::Usage { tensor }),
    }
}

/// The vectors of layers' records, one behind the other, after all work submitted so far: one submission, one wait.
pub(super) async fn read(
    queue: &wgpu::Queue,
    tensor: Tensor,
    records: &[(&BatchNorm, &wgpu::BufferBinding<'_>, u64)],
) -> Result<Vec<Record>, RecordError> {
    let Some((first, ..)) = records.first() else {
        return Ok(vec![]);
    };
    let mut all = vec![];
    for &(layer, record, bytes) in records {
        let bound = writable(layer, tensor, record, bytes)?;
        if !bound.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(RecordError::Read(ReadError::Usage { vector: tensor }));
        }
        all.push((bound, vec![]));
    }
    let bytes_of = records.iter().map(|(.., bytes)| *bytes);
    let ranges: Vec<_> =
        all.iter().zip(bytes_of).map(|((bound, _), bytes)| (&bound.buffer, bound.offset, bytes)).collect();
    let context = first.context();
    context.check_queue(queue)?;
    let label = Some("batch norm: records on their way to the host");
    let bytes = Readback::submit(context.device(), queue, label, &ranges)?.read().await?;
    let mut rest: &[u8] = &bytes;
    for ((layer, _, bytes), (_, values)) in records.iter().zip(&mut all) {
        let (record, others) = rest.split_at(*bytes as usize);
        let vectors: Vec<f32> = pod_collect_to_vec(record);
        let features = layer.features() as usize;
        let vectors = vectors.chunks(layer.parameter_stride() as usize);
        values.extend(vectors.flat_map(|vector| &vector[..features]));
        rest = others;
    }
    Ok(all)
}

/// Writes vectors, one behind the other, to a record, and nothing between them.
pub(super) fn write(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    record: &Bound,
    vectors: &[f32],
) -> Result<(), DeviceError> {
    let stride = layer.parameter_stride() * 4;
    checked(layer.context().device(), || {
        for (k, vector) in (0..).zip(vectors.chunks(layer.features() as usize)) {
            queue.write_buffer(&record.buffer, record.offset + k * stride, cast_slice(vector));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_merge_as_moments_do() {
        let moments = |rank: u32, c: u32| Moments {
            count: f64::from(rank % 3),
            mean: f64::from(rank * 7 + c),
            variance: f64::from(rank + c),
        };
        let ranks: Vec<Vec<_>> = (0..5).map(|rank| (0..4).map(|c| moments(rank, c)).collect()).collect();
        let records: Vec<_> = ranks.iter().map(|moments| record_of(moments, 4)).collect();
        let merged = merge_records(records.iter().map(Vec::as_slice), 4);
        assert_eq!(merged, crate::cpu::parts::gather_moments(&ranks));
        assert_eq!(merged[0].count, 4.0);
    }

    #[test]
    fn records_come_back() {
        let moments = [
            Moments { count: 3.0, mean: 1e6 + 1e-4, variance: 2.0 },
            Moments { count: 0.0, mean: 0.0, variance: 0.0 },
            Moments { count: 7.0, mean: f64::INFINITY, variance: 3e38 * 16.0 },
        ];
        let record = record_of(&moments, 5);
        assert_eq!((record.len(), record[3]), (20, 0.0));
        let back = moments_of(&record, 3, 5);
        assert!((back[0].mean - moments[0].mean).abs() < 1e-8, "{}", back[0].mean);
        assert_eq!((back[0].count, back[0].variance), (3.0, 2.0));
        assert_eq!((back[1], back[2].mean), (moments[1], f64::INFINITY));
        assert!((back[2].variance / moments[2].variance - 1.0).abs() < 1e-7);
    }
}
