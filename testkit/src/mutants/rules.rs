//! What is changed: each rule has patterns, whose first group is replaced.

use std::ops::Range;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A bound is off by one: `<` for `<=`.
    Bound,
    /// A comparison says the opposite.
    Comparison,
    /// Another operator of arithmetic, or a sign that is missing.
    Operator,
    /// Another operator of bits.
    Bits,
    /// `&&` for `||`, or a condition that says the opposite.
    Logic,
    /// A number one more or one less; half more for what is no whole number.
    Constant,
    /// A barrier is missing.
    Barrier,
    /// `min` for `max`; a function that limits or rounds is missing or another.
    Limit,
    /// The two values of a `select` swapped.
    Select,
    /// Another tensor, vector, field or built-in value than the right one.
    Role,
    /// A statement is missing.
    Statement,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// A replacement of a part of a line.
pub(super) type Change = (Rule, Range<usize>, String);

const PATTERNS: &[(Rule, &str, &str)] = &[
    (Rule::Bound, r" (<) ", "<="),
    (Rule::Bound, r" (<=) ", "<"),
    (Rule::Bound, r" (>) ", ">="),
    (Rule::Bound, r" (>=) ", ">"),
    (Rule::Comparison, r" (<) ", ">="),
    (Rule::Comparison, r" (<=) ", ">"),
    (Rule::Comparison, r" (>) ", "<="),
    (Rule::Comparison, r" (>=) ", "<"),
    (Rule::Comparison, r" (==) ", "!="),
    (Rule::Comparison, r" (!=) ", "=="),
    (Rule::Operator, r" (\+) ", "-"),
    (Rule::Operator, r" (-) ", "+"),
    (Rule::Operator, r" (\*) ", "/"),
    (Rule::Operator, r" (/) ", "*"),
    (Rule::Operator, r" (%) ", "/"),
    (Rule::Operator, r" (\+=) ", "-="),
    (Rule::Operator, r" (-=) ", "+="),
    (Rule::Operator, r" (\*=) ", "/="),
    (Rule::Operator, r" (/=) ", "*="),
    (Rule::Operator, r"(\+\+)", " += 2u"),
    (Rule::Operator, r"[(,=] ?(-)[A-Za-z]", ""),
    (Rule::Bits, r" (<<) ", ">>"),
    (Rule::Bits, r" (>>) ", "<<"),
    (Rule::Bits, r" (&) ", "|"),
    (Rule::Bits, r" (\|) ", "&"),
    (Rule::Bits, r" (\|=) ", "&="),
    (Rule::Bits, r" (\^) ", "|"),
    (Rule::Bits, r"(~)", ""),
    (Rule::Logic, r" (&&) ", "||"),
    (Rule::Logic, r"if (!)[A-Z]", ""),
    (Rule::Logic, r"if ()[A-Za-z_()]+ \{", "!"),
    (Rule::Barrier, r"((?:workgroup|storage)Barrier\(\);)", ""),
    (Rule::Limit, r"\b(min)\(", "max"),
    (Rule::Limit, r"\b(max)\(", "min"),
    (Rule::Limit, r"\b(abs)\(", ""),
    (Rule::Limit, r"(?:[^n] |[(*])(clamped|opaque)\(", ""),
    (Rule::Limit, r"\b(round)\(", "floor"),
    (Rule::Statement, r"^\s*((?:\(\*)?[a-z][\w.()*\[\], +&]*(?: [-+*/|]?= .*|\));)$", ""),
];

/// Words of which each stands for the other by mistake.
const PAIRS: &[(&str, &str)] = &[
    ("load_x", "load_dy"),
    ("load_z", "load_x"),
    ("load_kept", "load_x"),
    ("weight_at", "bias_at"),
    ("running_mean_at", "running_var_at"),
    ("set_running_mean", "set_running_var"),
    ("weight_gradient", "bias_gradient"),
    (".dy", ".dy_xhat"),
    (".mean", ".rest"),
    (".weight", ".bias"),
    (".invstd", ".share"),
    (".value", ".rest"),
    (".near", ".offset"),
    (".scale", ".slope"),
    (".sums", ".squares"),
    (".mean", ".variance"),
    (".step_index", ".step_inner"),
    (".plane", ".jump"),
    (".slots", ".groups"),
    (".first", ".number"),
    (".index", ".number"),
    (".x", ".y"),
    ("WORKGROUP", "TILE"),
    ("slot", "invocation"),
    ("has_norm_weight", "has_norm_bias"),
    ("norm_weight", "norm_bias"),
    ("running_mean", "running_var"),
];

/// All changes of a line of code, in order of rules and places.
pub(super) struct Rules {
    patterns: Vec<(Rule, Regex, String)>,
    numbers: Regex,
}

impl Rules {
    pub fn new() -> Self {
        let compiled = |text: &str| Regex::new(text).expect("a valid pattern");
        let word = |text: &str| match text.strip_prefix('.') {
            Some(field) => compiled(&format!(r"(\.{field})(?:\W|$)")),
            // Not where it is declared.
            None => compiled(&format!(r"(?:^|[^.\w])({text})(?:[^:\w]|$)")),
        };
        let fixed = PATTERNS.iter().map(|&(rule, pattern, new)| (rule, compiled(pattern), new.to_owned()));
        let both = PAIRS.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
        let roles = both.map(|(from, to)| (Rule::Role, word(from), to.to_owned()));
        let numbers = compiled(r"(?:^|[^.\w])(0x[0-9a-f]+u|\d+u|\d+\.\d*(?:e\d+)?)\b");
        Self { patterns: fixed.chain(roles).collect(), numbers }
    }

    pub fn changes(&self, line: &str) -> Vec<Change> {
        let replaced = self.patterns.iter().flat_map(|(rule, pattern, new)| {
            pattern.captures_iter(line).map(|found| (*rule, found.get(1).unwrap().range(), new.clone()))
        });
        let mut changes: Vec<Change> = replaced.collect();
        let declares =
            ["let ", "var ", "return ", "const ", "alias "].iter().any(|word| line.trim().starts_with(word));
        changes.retain(|(rule, ..)| *rule != Rule::Statement || !declares);
        for found in self.numbers.captures_iter(line) {
            let number = found.get(1).unwrap();
            changes.extend(others(number.as_str()).map(|new| (Rule::Constant, number.range(), new)));
        }
        changes.extend(swapped_select(line));
        changes
    }
}

/// Numbers that may stand for a number by mistake.
fn others(number: &str) -> impl Iterator<Item = String> {
    let whole = number.strip_suffix('u').map(|digits| match digits.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).expect("a number"),
        None => digits.parse().expect("a number"),
    });
    let (more, less) = match whole {
        Some(n) => (n.checked_add(1).map(|n| format!("{n}u")), n.checked_sub(1).map(|n| format!("{n}u"))),
        None => {
            let value: f64 = number.parse().expect("a number");
            (Some(format!("{:?}", if value == 0.0 { 1.0 } else { value * 1.5 })), None)
        }
    };
    more.into_iter().chain(less)
}

/// `select(a, b, condition)` with a and b swapped.
fn swapped_select(line: &str) -> Vec<Change> {
    let starts = line.match_indices("select(").map(|(at, word)| at + word.len());
    let swapped = starts.filter_map(|start| {
        let mut depth = 0;
        let mut commas = vec![];
        for (at, c) in line[start..].char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ',' if depth == 0 => commas.push(start + at),
                _ => {}
            }
            if depth < 0 {
                break;
            }
        }
        let &[first, second] = commas.as_slice() else { return None };
        let new = format!("{}, {}", line[first + 1..second].trim(), &line[start..first]);
        Some((Rule::Select, start..second, new))
    });
    swapped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(line: &str, rule: Rule) -> Vec<String> {
        let changes = Rules::new().changes(line).into_iter().filter(|(of, ..)| *of == rule);
        changes
            .map(|(_, range, new)| format!("{}{new}{}", &line[..range.start], &line[range.end..]))
            .collect()
    }

    #[test]
    fn each_rule_changes_what_it_says() {
        let line = "if i < params.slots && x >= 4u {";
        assert_eq!(
            changed(line, Rule::Bound),
            ["if i <= params.slots && x >= 4u {", "if i < params.slots && x > 4u {"]
        );
        assert_eq!(changed("a = b != c;", Rule::Comparison), ["a = b == c;"]);
        assert_eq!(
            changed("f(-a * b - c)", Rule::Operator),
            ["f(-a * b + c)", "f(-a / b - c)", "f(a * b - c)"]
        );
        assert_eq!(changed("a |= ~b << c;", Rule::Bits), ["a |= ~b >> c;", "a &= ~b << c;", "a |= b << c;"]);
        assert_eq!(changed("if MASKED {", Rule::Logic), ["if !MASKED {"]);
        assert_eq!(changed("if !MASKED {", Rule::Logic), ["if MASKED {"]);
        assert_eq!(
            changed("x4u + 0x10u + 1.0 + 0u", Rule::Constant),
            [
                "x4u + 17u + 1.0 + 0u",
                "x4u + 15u + 1.0 + 0u",
                "x4u + 0x10u + 1.5 + 0u",
                "x4u + 0x10u + 1.0 + 1u"
            ]
        );
        assert_eq!(changed("    workgroupBarrier();", Rule::Barrier), ["    "]);
        assert_eq!(changed("min(a, b)", Rule::Limit), ["max(a, b)"]);
        assert_eq!(changed("select(f(a, b), c[d], e)", Rule::Select), ["select(c[d], f(a, b), e)"]);
        assert_eq!(changed("a.dy", Rule::Role), ["a.dy_xhat"]);
        assert_eq!(changed("    (*a).left -= 1u;", Rule::Statement), ["    "]);
        assert_eq!(changed("    store_y(i, f(a));", Rule::Statement), ["    "]);
        assert!(changed("    let a = b;", Rule::Statement).is_empty());
    }
}
