//! Mutants of the shaders show whether the tests see what they must. Each is one file of shaders/ with one change, which
//! some test must notice. They are listed in a fixed order, drawn by a seed, and given to the tests by a build of the layer that reads
//! one file at run time (`make mutants`).

mod check;
mod draw;
mod list;
mod report;
mod rules;
mod run;
mod stages;

pub use check::is_valid;
pub use draw::draw;
pub use list::{Mutant, all};
pub use report::{Outcome, Report};
pub use rules::Rule;
pub use run::{Runner, Stages, Verdict};
pub use stages::stages;

/// What names the file with the mutant to the layer's build.
pub const VARIABLE: &str = "BATCHNORM_MUTANT";
