//! Synchronised batch normalization: statistics of a batch whose shards lie on several devices, in any processes.
//!
//! Each rank prepares its shard in parts ([`prepare_moments`](crate::BatchNorm::prepare_moments) and what follows). Between
//! the moments and [`Finalize`](crate::Finalize), [`exchange_moments`] replaces the moments of the shard by those of all
//! shards; between the gradient sums and [`FinalizeGradients`](crate::FinalizeGradients), [`exchange_gradient_sums`] adds
//! up those of all. Both wait for the device and move a record of C features through the host; no tensor moves.
//!
//! What carries the values from rank to rank is the caller's: an [`Exchange`]. [`threads`] is one for ranks that are threads
//! of a process. Moments are folded on the host in float64, in the order of ranks, so that every rank has the same bits,
//! whatever the exchange: as exact as statistics of the unsharded batch. A shard may have one value per feature, or none.

mod records;
mod threads;

pub use records::{merge_records, moments_of, record_of};
use records::{read, writable, write};
pub use threads::{RankLeft, ThreadRank, threads};

use crate::kernels::DeviceError;
use crate::layer::{BatchNorm, PrepareError, ReadError};
use crate::tensor::{Bound, Tensor};

/// What ranks give each other. All of them make the same calls in the same order; a call waits for all.
pub trait Exchange {
    /// Why values could not be exchanged.
    type Error;

    /// What all ranks give, one after the other, in the order of ranks. All give as many values.
    ///
    /// # Errors
    /// Where the other ranks cannot be reached, or one of them is gone: no rank may wait for ever.
    fn all_gather(&mut self, values: &[f32]) -> Result<Vec<f32>, Self::Error>;

    /// Replaces each value by its sum over all ranks.
    ///
    /// # Errors
    /// As [`all_gather`](Self::all_gather).
    fn all_reduce(&mut self, values: &mut [f64]) -> Result<(), Self::Error>;
}

/// Why a record could not be exchanged. It is unchanged then, on every rank that has an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError<E> {
    /// The record's binding cannot be used.
    #[error(transparent)]
    Record(#[from] PrepareError),
    /// The record could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The record's buffer was not created for writing.
    #[error("{tensor}: the buffer must be created with COPY_DST")]
    Usage {
        /// Which record.
        tensor: Tensor,
    },
    /// The exchange failed.
    #[error("the ranks could not exchange values: {0}")]
    Exchange(E),
    /// Another rank could not read its record, or has no room for the result.
    #[error("another rank could not take part")]
    OtherRank,
    /// Ranks gave records of different sizes.
    #[error("each rank must give {required} values, all gave {given}: do all layers have as many features?")]
    Length {
        /// This rank's.
        required: usize,
        /// All ranks' together.
        given: usize,
    },
    /// The batch has one value per feature, over all ranks.
    #[error("batch statistics need at least 2 values per feature, all ranks together have 1")]
    OneValuePerFeature,
}

/// Replaces the moments of this rank's shard by those of all ranks' shards, for all work submitted after this call.
///
/// `record` is one record of moments (see [`Moments`](crate::Moments)) in a buffer with `COPY_SRC` and `COPY_DST`, as it is
/// after all work submitted so far. On native platforms the call waits for the device, and in the exchange for the other
/// ranks; a rank that fails tells the others.
///
/// # Errors
/// [`ExchangeError`]; among others one value per feature, counted over all ranks.
pub async fn exchange_moments<E: Exchange>(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    record: wgpu::BufferBinding<'_>,
    exchange: &mut E,
) -> Result<(), ExchangeError<E::Error>> {
    exchange_moments_of_layers(&[(layer, record)], queue, exchange).await
}

/// [`exchange_moments`] of several layers with one wait and one message, each with its record.
///
/// This is for layers of one device of which none needs what another one has normalized: those of branches that run side
/// by side, such as a block's and its shortcut's. All ranks name the layers in the same order.
///
/// # Errors
/// [`ExchangeError`]; no record has changed then.
pub async fn exchange_moments_of_layers<E: Exchange>(
    layers: &[(&BatchNorm, wgpu::BufferBinding<'_>)],
    queue: &wgpu::Queue,
    exchange: &mut E,
) -> Result<(), ExchangeError<E::Error>> {
    let records: Vec<_> =
        layers.iter().map(|(layer, record)| (*layer, record, layer.moments_bytes())).collect();
    let own = read(queue, Tensor::Moments, &records).await;
    let len = |layer: &BatchNorm| 4 * layer.features() as usize;
    let mut message = vec![0.0];
    match &own {
        Ok(records) => message.extend(records.iter().flat_map(|(_, values)| values)),
        Err(_) => message = failed(layers.iter().map(|(layer, _)| len(layer)).sum()),
    }
    let given = exchange.all_gather(&message).map_err(ExchangeError::Exchange)?;
    let own = own.map_err(RecordError::into)?;
    let required = message.len();
    if given.is_empty() || given.len() % required != 0 {
        return Err(ExchangeError::Length { required, given: given.len() });
    }
    let ranks = || given.chunks(required);
    if ranks().any(|rank| rank[0] != 0.0) {
        return Err(ExchangeError::OtherRank);
    }
    let mut next = 1;
    let mut of_batch = vec![];
    for (layer, _) in layers {
        let (features, range) = (layer.features() as usize, next..next + len(layer));
        next = range.end;
        of_batch.push(merge_records(ranks().map(|rank| &rank[range.clone()]), features));
    }
    if of_batch.iter().flatten().any(|moments| moments.count == 1.0) {
        return Err(ExchangeError::OneValuePerFeature);
    }
    for (((layer, _), (bound, _)), all) in layers.iter().zip(&own).zip(&of_batch) {
        let record = record_of(all, layer.features() as usize);
        write(layer, queue, bound, &record).map_err(|error| RecordError::from(error).into())?;
    }
    Ok(())
}

/// Adds up gradient sums over all ranks: reads the record `shard`, and writes the sums of all ranks to the record `all`, for
/// all work submitted after this call. Both may be the same range; see [`exchange_moments`].
///
/// Finalized, the sums of all ranks give dx of a shard, and gradients of weight and bias over all ranks. Where a framework
/// adds these up itself, finalize the shard's own sums for them, too.
///
/// # Errors
/// [`ExchangeError`].
pub async fn exchange_gradient_sums<E: Exchange>(
    layer: &BatchNorm,
    queue: &wgpu::Queue,
    shard: wgpu::BufferBinding<'_>,
    all: wgpu::BufferBinding<'_>,
    exchange: &mut E,
) -> Result<(), ExchangeError<E::Error>> {
    exchange_gradient_sums_of_layers(&[(layer, shard, all)], queue, exchange).await
}

/// [`exchange_gradient_sums`] of several layers with one wait and one message, each with its two records; see
/// [`exchange_moments_of_layers`].
///
/// # Errors
/// [`ExchangeError`]; no record has changed then.
pub async fn exchange_gradient_sums_of_layers<E: Exchange>(
    layers: &[(&BatchNorm, wgpu::BufferBinding<'_>, wgpu::BufferBinding<'_>)],
    queue: &wgpu::Queue,
    exchange: &mut E,
) -> Result<(), ExchangeError<E::Error>> {
    let tensor = Tensor::GradientSums;
    let shards = layers.iter().map(|(layer, shard, _)| (*layer, shard, layer.gradient_sums_bytes()));
    let own = read(queue, tensor, &shards.collect::<Vec<_>>()).await;
    let own = own.and_then(|records| {
        let to =
            |(layer, _, all): &(&BatchNorm, _, _)| writable(layer, tensor, all, layer.gradient_sums_bytes());
        Ok((records, layers.iter().map(to).collect::<Result<Vec<_>, _>>()?))
    });
    let len = |layer: &BatchNorm| 2 * layer.features() as usize;
    let mut message = vec![0.0];
    match &own {
        Ok((records, _)) => {
            message.extend(records.iter().flat_map(|(_, values)| values).map(|&v| f64::from(v)))
        }
        Err(_) => message = failed(layers.iter().map(|(layer, ..)| len(layer)).sum()),
    }
    exchange.all_reduce(&mut message).map_err(ExchangeError::Exchange)?;
    let (_, to) = own.map_err(RecordError::into)?;
    if message[0] != 0.0 {
        return Err(ExchangeError::OtherRank);
    }
    let sums: Vec<f32> = message[1..].iter().map(|&sum| sum as f32).collect();
    let mut rest = &sums[..];
    for ((layer, ..), bound) in layers.iter().zip(&to) {
        let (of_layer, others) = rest.split_at(len(layer));
        write(layer, queue, bound, of_layer).map_err(|error| RecordError::from(error).into())?;
        rest = others;
    }
    Ok(())
}

/// The message of a rank that has no values to give, as long as the others'.
fn failed<T: From<f32> + Clone>(values: usize) -> Vec<T> {
    let mut message = vec![T::from(0.0); 1 + values];
    message[0] = T::from(1.0);
    message
}

/// Why a record cannot be read or written.
enum RecordError {
    Record(PrepareError),
    Read(ReadError),
    Usage { tensor: Tensor },
}

impl From<DeviceError> for RecordError {
    fn from(error: DeviceError) -> Self {
        Self::Read(error.into())
    }
}

impl RecordError {
    fn into<E>(self) -> ExchangeError<E> {
        match self {
            Self::Record(error) => ExchangeError::Record(error),
            Self::Read(error) => ExchangeError::Read(error),
            Self::Usage { tensor } => ExchangeError::Usage { tensor },
        }
    }
}

type Record = (Bound, Vec<f32>);
