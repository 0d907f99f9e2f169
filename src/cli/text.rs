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

/// The same of the window in which stderr is read.
pub(super) fn window_of_stderr() -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(std::io::stderr());
    let stated = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let (width, _) = terminal?;
    Some(stated.filter(|columns| *columns > 0).unwrap_or(usize::from(width.0)))
}

/// Lines that are broken between words rather than by the terminal within one. What is to be copied stays whole: a command
/// in backquotes, or a line that has one without.
pub(super) fn broken(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| {
        let prose: String = line.split('`').step_by(2).collect();
        if columns(line) <= width || prose.contains("dfns-keys ") {
            return line.to_owned();
        }
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        in_lines(pieces(line), &indent, width)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Words, with what stands in backquotes as one.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '`';
        c == ' ' && !quoted
    })
    .filter(|piece| !piece.is_empty())
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Words in lines of at most so many columns, each behind an indent. A word that is longer stays whole.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    in_lines(text.split_whitespace(), indent, width)
}

fn in_lines<'w>(words: impl Iterator<Item = &'w str>, indent: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::from(indent);
    for word in words {
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
    fn lines_break_between_words_and_never_within_a_command() {
        assert_eq!(broken("  one two three\nfour", 10), "  one two\n  three\nfour");
        assert_eq!(broken("run `dfns-keys list` now", 12), "run\n`dfns-keys list`\nnow");
        let command = "  then:  dfns-keys rotate payments-api --finish";
        assert_eq!(broken(command, 20), command);
    }

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
