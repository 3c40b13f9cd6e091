//! What a plan should be, where it is not to be chosen; and plans as text.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use super::{Path, View};

/// What to fix of a plan, for tests, measurements, and to have the same bits again: nothing by default.
///
/// It prints as a line of text, such as `split planes packet=16 workgroup=8 tile=8 splits=12 apply_splits=48`, and is read
/// back from it. [`Plan::request`](crate::Plan::request) gives the request that leads to the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct PlanRequest {
    /// [`Path::Persistent`], [`Path::Cached`] or [`Path::Split`], where there is a choice. Evaluation is
    /// [`Path::Elementwise`].
    pub path: Option<Path>,
    /// [`View::Planes`] is possible for every shape, [`View::Rows`] where features are the last axis.
    pub view: Option<View>,
    /// Values an invocation loads at a time: 1, 4 or 16, or 8 in 16-bit storage, which must divide the plane or the row.
    pub packet: Option<u32>,
    /// Invocations of a workgroup, a power of two up to the device's limit.
    pub workgroup: Option<u32>,
    /// Slots that a workgroup takes side by side, a power of two. A slot is a feature (planes) or a packet of a row
    /// (rows).
    pub tile: Option<u32>,
    /// Workgroups that share a feature (planes) or a tile of a row (rows). Rounding can leave fewer.
    pub splits: Option<u32>,
    /// Packets that an invocation has registers for on the persistent path: 4, 8 or 16.
    pub held: Option<u32>,
    /// The workgroup size of the dispatch that applies on the split path, where it differs.
    pub apply_workgroup: Option<u32>,
    /// The tile of that dispatch, where it differs.
    pub apply_tile: Option<u32>,
    /// The splits of that dispatch, where they differ.
    pub apply_splits: Option<u32>,
}

impl PlanRequest {
    /// Nothing fixed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fixes the path.
    pub fn path(self, path: Path) -> Self {
        Self { path: Some(path), ..self }
    }

    /// Fixes the view.
    pub fn view(self, view: View) -> Self {
        Self { view: Some(view), ..self }
    }

    /// Fixes the values that an invocation loads at a time.
    pub fn packet(self, packet: u32) -> Self {
        Self { packet: Some(packet), ..self }
    }

    /// Fixes the invocations of a workgroup.
    pub fn workgroup(self, workgroup: u32) -> Self {
        Self { workgroup: Some(workgroup), ..self }
    }

    /// Fixes what a workgroup takes side by side.
    pub fn tile(self, tile: u32) -> Self {
        Self { tile: Some(tile), ..self }
    }

    /// Fixes the workgroups that share a feature or tile.
    pub fn splits(self, splits: u32) -> Self {
        Self { splits: Some(splits), ..self }
    }

    /// Fixes the packets that an invocation has registers for on the persistent path.
    pub fn held(self, held: u32) -> Self {
        Self { held: Some(held), ..self }
    }

    /// The request for the dispatch that applies on the split path.
    pub(crate) fn for_apply(self) -> Self {
        Self {
            workgroup: self.apply_workgroup.or(self.workgroup),
            tile: self.apply_tile.or(self.tile),
            splits: self.apply_splits.or(self.splits),
            ..self
        }
    }

    fn numbers(&mut self) -> [(&'static str, &mut Option<u32>); 8] {
        [
            ("packet", &mut self.packet),
            ("workgroup", &mut self.workgroup),
            ("tile", &mut self.tile),
            ("splits", &mut self.splits),
            ("held", &mut self.held),
            ("apply_workgroup", &mut self.apply_workgroup),
            ("apply_tile", &mut self.apply_tile),
            ("apply_splits", &mut self.apply_splits),
        ]
    }
}

impl Display for PlanRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let mut request = *self;
        let words = [self.path.map(|path| path.to_string()), self.view.map(|view| view.to_string())];
        let numbers = request.numbers().map(|(name, number)| number.map(|number| format!("{name}={number}")));
        let words: Vec<String> = words.into_iter().chain(numbers).flatten().collect();
        f.write_str(&words.join(" "))
    }
}

/// Why a text is no plan request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no part of a plan: required a path, a view, or NAME=NUMBER with a name of PlanRequest's fields, each once"
)]
pub struct ParsePlanError {
    /// The word that is not understood.
    pub given: String,
}

impl FromStr for PlanRequest {
    type Err = ParsePlanError;

    fn from_str(text: &str) -> Result<Self, ParsePlanError> {
        let mut request = Self::default();
        for word in text.split_whitespace() {
            let error = || ParsePlanError { given: word.to_owned() };
            if let (Some(path), None) = (Path::parse(word), request.path) {
                request.path = Some(path);
            } else if let (Some(view), None) = (View::parse(word), request.view) {
                request.view = Some(view);
            } else {
                let (name, number) = word.split_once('=').ok_or_else(error)?;
                let number = number.parse().map_err(|_| error())?;
                let mut numbers = request.numbers();
                let field = numbers.iter_mut().find(|(field, value)| *field == name && value.is_none());
                *field.ok_or_else(error)?.1 = Some(number);
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_text() {
        let request = PlanRequest { apply_splits: Some(48), held: Some(4), ..PlanRequest::new() }
            .path(Path::Split)
            .view(View::Planes)
            .packet(16)
            .workgroup(8)
            .tile(8)
            .splits(12);
        let text = request.to_string();
        assert_eq!(text, "split planes packet=16 workgroup=8 tile=8 splits=12 held=4 apply_splits=48");
        assert_eq!(text.parse(), Ok(request));
        assert_eq!("".parse(), Ok(PlanRequest::default()));
    }

    #[test]
    fn what_is_no_request_is_named() {
        for (text, given) in [
            ("split columns", "columns"),
            ("packet=four", "packet=four"),
            ("lanes=8", "lanes=8"),
            ("split cached", "cached"),
            ("tile=8 tile=8", "tile=8"),
            ("splits=-1", "splits=-1"),
        ] {
            assert_eq!(text.parse::<PlanRequest>(), Err(ParsePlanError { given: given.into() }));
        }
    }
}
