//! What a terminal would obey, taken out of what others wrote: a name or an id of Dfns's may hold anything.

use std::fmt::Write as _;

/// Whether a character does something on a terminal, other than standing there: controls (C0, DEL, C1), and what reorders or
/// hides the text that a person reads.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

/// Text that a terminal shows and nothing more. Of escape sequences only those for colour pass, which are our own.
pub(super) fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (position, character) in text.char_indices() {
        if !is_obeyed(character) || matches!(character, '\n' | '\t') || is_colour(&text[position..]) {
            safe.push(character);
        } else {
            safe.extend(character.escape_default());
        }
    }
    safe
}

/// Whether a text begins with a sequence that sets a colour: `ESC [`, digits and semicolons, `m`.
fn is_colour(text: &str) -> bool {
    text.strip_prefix("\u{1b}[")
        .and_then(|rest| {
            rest.find(|c: char| !c.is_ascii_digit() && c != ';')
                .map(|end| &rest[end..])
        })
        .is_some_and(|rest| rest.starts_with('m'))
}

/// The same JSON document, in which nothing is left that a terminal would obey: JSON itself has the means to write it
/// otherwise. Such characters stand in its texts alone, but for the ends of its lines.
pub(super) fn json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for character in document.chars() {
        if is_obeyed(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_the_other_side_cannot_move_a_terminal() {
        for sequence in [
            "\u{1b}[2J",
            "\u{1b}]0;title\u{7}",
            "\r",
            "\u{8}",
            "\u{9b}2J",
            "\u{202e}",
            "\u{61c}",
            "\u{1b}",
            "\u{1b}[1",
        ] {
            let shown = text(&format!("credential {sequence}x"));
            let moves = |character: char| sequence.contains(character) && !matches!(character, '!'..='~');
            assert!(!shown.chars().any(moves), "{shown:?}");
            assert!(shown.starts_with("credential ") && shown.ends_with('x'), "{shown:?}");
        }
    }

    #[test]
    fn a_json_document_means_the_same_and_moves_nothing() {
        let all: String = (0..0x3000_u32).filter_map(char::from_u32).collect();
        let value = serde_json::json!({ &all: [&all, "Zoë — 日本 \u{feff}\u{10ffff}"], "n": 1.5 });
        let document = format!("{value:#}\n");
        let safe = json(&document);
        let moves =
            |character: char| character.is_control() && character != '\n' || "\u{202e}\u{feff}".contains(character);
        assert!(!safe.chars().any(moves));
        assert_eq!(
            safe.lines().count(),
            document.lines().filter(|line| !line.is_empty()).count()
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        assert!(safe.contains("Zoë — 日本"), "what does no harm stays as it is");
    }
}
