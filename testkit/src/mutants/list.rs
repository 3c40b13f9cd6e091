//! The mutants there are.

use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

use super::rules::{Rule, Rules};

/// A file of shaders/ with one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The file below shaders/.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub rule: Rule,
    /// Which of the line's changes by this rule, from 1.
    number: usize,
    pub before: String,
    pub after: String,
    /// The file with the change.
    pub text: String,
}

impl Display for Mutant {
    /// `lib/tile.wgsl:8:operator`, and `.2` behind it for the second of its kind in the line.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.rule)?;
        if self.number > 1 { write!(f, ".{}", self.number) } else { Ok(()) }
    }
}

/// All mutants of the files in a folder's folders, in order of files, lines and rules.
///
/// # Errors
/// Where a file cannot be read.
pub fn all(folder: &Path) -> std::io::Result<Vec<Mutant>> {
    let rules = Rules::new();
    let mut mutants = vec![];
    for file in files(folder)? {
        let text = std::fs::read_to_string(folder.join(&file))?;
        mutants.extend(of_file(&rules, &file, &text));
    }
    Ok(mutants)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for below in std::fs::read_dir(folder)? {
        for entry in std::fs::read_dir(below?.path())? {
            let path = entry?.path();
            files.push(path.strip_prefix(folder).expect("below the folder").to_owned());
        }
    }
    files.sort();
    Ok(files)
}

fn of_file(rules: &Rules, file: &Path, text: &str) -> Vec<Mutant> {
    let mut mutants: Vec<Mutant> = vec![];
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let code = line.split("//").next().unwrap_or_default().trim_end();
        let mut changes = rules.changes(code);
        changes.sort_by_key(|(rule, range, _)| (*rule, range.start));
        let mut seen: Vec<String> = vec![];
        for (rule, range, new) in changes {
            let after = format!("{}{new}{}", &code[..range.start], &code[range.end..]);
            if seen.contains(&after) {
                continue;
            }
            let earlier =
                mutants.iter().filter(|mutant| (mutant.line, mutant.rule) == (index + 1, rule)).count();
            mutants.push(Mutant {
                file: file.to_owned(),
                line: index + 1,
                rule,
                number: earlier + 1,
                before: code.trim().to_owned(),
                after: after.trim().to_owned(),
                text: format!("{}{after}{}", &text[..start], &text[start + code.len()..]),
            });
            seen.push(after);
        }
        start += line.len();
    }
    mutants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_have_names_and_one_change() {
        let text = "// a < b\nfn f() {\n    a = b + c + d; // e + f\n}\n";
        let mutants = of_file(&Rules::new(), Path::new("lib/f.wgsl"), text);
        let names: Vec<String> = mutants.iter().map(Mutant::to_string).collect();
        assert_eq!(names, ["lib/f.wgsl:3:operator", "lib/f.wgsl:3:operator.2", "lib/f.wgsl:3:statement"]);
        assert_eq!(mutants[1].text, "// a < b\nfn f() {\n    a = b + c - d; // e + f\n}\n");
        assert_eq!((mutants[2].before.as_str(), mutants[2].after.as_str()), ("a = b + c + d;", ""));
    }
}
