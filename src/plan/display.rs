//! Plans in words.

use std::fmt::{Display, Formatter, Result as FmtResult};

use super::{Grid, MaskKind, Plan, Stored};
use crate::tensor::Tensor;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{} of {}: {}", self.work.op.name(), self.shape, self.path())?;
        if let Some(Grid { view, packet, workgroup, tile, .. }) = self.first() {
            write!(f, " over {view}, {workgroup} invocations")?;
            if *tile > 1 {
                write!(f, " ({tile} side by side)")?;
            }
            let Stored { storage, half_access } = self.stored();
            match storage.is_half() {
                true => write!(f, " of {packet} {storage} values")?,
                false => write!(f, " of {packet} values")?,
            }
            if storage.is_half() && *packet == 1 {
                f.write_str(if half_access { " by two-byte accesses" } else { " by atomics" })?;
            }
        }
        if self.pieces > 1 {
            write!(f, ", in {} pieces", self.pieces)?;
        }
        match self.work.mask {
            Some(MaskKind::Lengths) => write!(f, ", masked by lengths")?,
            Some(MaskKind::Positions) => write!(f, ", masked by positions")?,
            None => {}
        }
        let workgroups: Vec<String> = self.workgroups().iter().map(u32::to_string).collect();
        write!(
            f,
            "; {} dispatch{} of {} workgroups; {} bytes of scratch, {} bytes moved; {:.3} ms predicted",
            workgroups.len(),
            if workgroups.len() == 1 { "" } else { "es" },
            if workgroups.is_empty() { "0".into() } else { workgroups.join(", ") },
            self.scratch_bytes(),
            self.bytes_moved(),
            self.predicted.as_secs_f64() * 1e3,
        )?;
        let kept: Vec<String> = self.kept().iter().map(Tensor::to_string).collect();
        if !kept.is_empty() {
            write!(f, "; reads the forward step's {}", kept.join(" and "))?;
        }
        Ok(())
    }
}
