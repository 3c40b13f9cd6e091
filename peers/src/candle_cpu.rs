//! candle's layer, on the CPU.

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use candle_nn::{BatchNorm, ModuleT};
use testkit::bench::shapes::{Case, Work};

use crate::{Peer, check};

/// The layer on the tensor of a case.
pub fn peer(case: &Case) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Candle::new(case)?))
}

struct Candle {
    features: usize,
    last: bool,
    norm: BatchNorm,
    /// In memory's order.
    x: Var,
}

impl Candle {
    fn new(case: &Case) -> Result<Self> {
        let axes: Vec<usize> = case.axes.iter().map(|&axis| axis as usize).collect();
        let axes = if case.last { vec![axes[0], axes[2], axes[3], axes[1]] } else { axes };
        let x = Var::from_vec(check::values(case), axes, &Device::Cpu)?;
        Ok(Self { features: case.features(), last: case.last, norm: norm(case.features())?, x })
    }

    fn once(&self, work: Work) -> Result<Tensor> {
        match work {
            Work::TrainingForward => self.forward(&self.x.as_detached_tensor(), true),
            Work::Evaluation => self.forward(&self.x.as_detached_tensor(), false),
            _ => {
                // Of a tensor that is no scalar, it starts from a dy of ones.
                let gradients = self.forward(&self.x, true)?.backward()?;
                Ok(gradients.get(&self.x).expect("of a variable").clone())
            }
        }
    }

    /// candle has no layouts: channels last are axes in another order.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(match self.last {
            true => self.norm.forward_t(&x.permute((0, 3, 1, 2))?, train)?,
            false => self.norm.forward_t(x, train)?,
        })
    }
}

impl Peer for Candle {
    fn run(&mut self, work: Work, iterations: u64) -> Result<()> {
        (0..iterations).try_for_each(|_| self.once(work).map(drop))
    }

    fn result(&mut self, work: Work) -> Result<Vec<f32>> {
        self.norm = norm(self.features)?;
        Ok(self.once(work)?.flatten_all()?.to_vec1()?)
    }
}

fn norm(features: usize) -> Result<BatchNorm> {
    let filled = |value: f32| Tensor::full(value, features, &Device::Cpu);
    let parameter = |value| Ok::<_, candle_core::Error>(Var::from_tensor(&filled(value)?)?.into_inner());
    Ok(BatchNorm::new(features, filled(0.0)?, filled(1.0)?, parameter(1.0)?, parameter(0.0)?, 1e-5)?)
}
