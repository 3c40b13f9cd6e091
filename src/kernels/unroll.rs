//! Unrolls loops over packets that are loaded together, over the quads of a packet and over statistics. Drivers unroll them
//! too, but not all in time: on Mesa's lavapipe, arrays that such a loop walks stay in memory, and training takes up to a
//! third longer.

/// Replaces each `for (var i = 0u; i < COUNT; i++) { body }` by `count` blocks with the body, where `i` is a number.
pub(super) fn unroll(mut source: String, index: &str, count_name: &str, count: u32) -> String {
    let head = format!("for (var {index} = 0u; {index} < {count_name}; {index}++) {{");
    while let Some(start) = source.find(&head) {
        let open = start + head.len();
        let end = open + closing_brace(&source[open..]);
        let blocks: Vec<String> =
            (0..count).map(|i| format!("{{{}}}", with_index(&source[open..end], index, i))).collect();
        source.replace_range(start..=end, &blocks.join(" "));
    }
    source
}

/// Where the brace is that closes a block, whose opening one stands before the text.
fn closing_brace(text: &str) -> usize {
    let mut depth = 1;
    text.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    })
    .expect("braces in shaders/ match")
}

/// The text with the identifier `index` replaced by a number.
fn with_index(text: &str, index: &str, number: u32) -> String {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(index) {
        let after = &rest[at + index.len()..];
        let whole_word = !rest[..at].ends_with(part_of_word)
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        out += &rest[..at];
        match whole_word {
            true => out += &format!("{number}u"),
            false => out += index,
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_become_blocks() {
        let source =
            "for (var k = 0u; k < QUADS; k++) { if a[k].k > keep { a[k + 1u] = b_k; } }\nend".to_owned();
        let unrolled =
            "{ if a[0u].k > keep { a[0u + 1u] = b_k; } } { if a[1u].k > keep { a[1u + 1u] = b_k; } }\nend";
        assert_eq!(unroll(source, "k", "QUADS", 2), unrolled);
    }

    #[test]
    fn other_loops_stay() {
        let source = "for (var i = 0u; i < QUADS; i++) { x[i] = 0u; }";
        assert_eq!(unroll(source.to_owned(), "k", "QUADS", 4), source);
    }
}
