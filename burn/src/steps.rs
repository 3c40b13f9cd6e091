//! A small cache of prepared steps. Each call binds its tensors to the step of its shape and options, at the cost of bind
//! groups.

use wgpu_batchnorm::{BackwardStep, Context, ForwardStep};

use crate::entry::{Entry, Gradients, Key, StepError, Tensors};

/// Shapes and options whose steps are kept: those of a large network, training and evaluation.
const CAPACITY: usize = 128;

/// The steps of a device, the last one used first.
pub struct Steps {
    entries: Vec<(Key, Entry)>,
    capacity: usize,
}

impl Default for Steps {
    fn default() -> Self {
        Self { entries: Vec::new(), capacity: CAPACITY }
    }
}

impl Steps {
    /// The forward step on these tensors.
    pub fn forward(
        &mut self,
        context: &Context,
        key: Key,
        tensors: Tensors<'_>,
    ) -> Result<&ForwardStep, StepError> {
        match self.find(key) {
            true if self.entries[0].1.binds_vectors() => self.entries[0].1.rebind(key, tensors)?,
            found => {
                let entry = Entry::new(context, key, tensors)?;
                self.entries.drain(..usize::from(found));
                self.insert(key, entry);
            }
        }
        Ok(self.entries[0].1.forward())
    }

    /// The backward, of whichever run of the forward step saved what is given.
    pub fn backward(
        &mut self,
        context: &Context,
        key: Key,
        gradients: Gradients<'_>,
    ) -> Result<&BackwardStep, StepError> {
        if !self.find(key) {
            // Shapes have pushed the forward step out since it ran.
            let Gradients { x, dx, saved, .. } = &gradients;
            let entry = Entry::of_backward(context, key, [x, dx, saved].map(Clone::clone))?;
            self.insert(key, entry);
        }
        self.entries[0].1.backward(gradients)
    }

    /// Moves the entry to the front, if there is one.
    fn find(&mut self, key: Key) -> bool {
        let found = self.entries.iter().position(|(other, _)| *other == key);
        if let Some(place) = found {
            self.entries[..=place].rotate_right(1);
        }
        found.is_some()
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.entries.truncate(self.capacity - 1);
        self.entries.insert(0, (key, entry));
    }
}
