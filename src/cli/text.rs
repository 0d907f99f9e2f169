//! Text that is too long for the window: wrapped, shortened or cut.

#![expect(
    clippy::disallowed_methods,
    reason = "nothing is printed here; the window is only measured"
)]

use unicode_width::UnicodeWidthStr;

/// How many columns the window has in which stdout is read: what `COLUMNS` says, or the terminal.
pub(super) fn window() -> Option<usize> {
    let stated = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    stated.filter(|columns| *columns > 0).or_else(|| {
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(usize::from(width.0))
    })
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Words in lines of at most so many columns, each behind an indent. A word that is longer stays whole.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::from(indent);
    for word in text.split_whitespace() {
        if line.len() > indent.len() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::replace(&mut line, String::from(indent)));
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}

/// An id in so many columns: its beginning and its end, which tell it from others.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let rest = width.saturating_sub(1);
    let (head, tail) = (rest - rest / 3, rest / 3);
    let mut end: Vec<char> = taken(text.chars().rev(), tail).collect();
    end.reverse();
    taken(text.chars(), head).chain(['…']).chain(end).collect()
}

/// A text cut to so many columns.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    taken(text.chars(), width.saturating_sub(1)).chain(['…']).collect()
}

/// As many characters as fit into so many columns.
fn taken(characters: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut left = width;
    characters.take_while(move |character| {
        let needs = columns(character.encode_utf8(&mut [0; 4]));
        let fits = needs <= left;
        left = left.saturating_sub(needs);
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_id_keeps_both_ends_and_its_width() {
        assert_eq!(shortened("or-6q7j6-9vt8d-9s4k2", 20), "or-6q7j6-9vt8d-9s4k2");
        assert_eq!(shortened("or-6q7j6-9vt8d-9s4k2", 13), "or-6q7j6…s4k2");
        assert_eq!(shortened("日本日本日本日本", 7), "日本…本");
        assert_eq!(cut("日本日本", 6), "日本…");
        for width in 1..12 {
            assert!(columns(&shortened("日本-abc-日本-def", width)) <= width, "{width}");
        }
    }
}
