//! What others send, on its way to stdout.

use super::error::Failure;
use super::harmless;
use super::ui::Ui;

/// More than this is not held back.
const MOST_HELD: usize = 4 * 1024 * 1024;

/// A way to stdout for what comes from elsewhere in parts: byte for byte, but to a terminal without what could move it.
pub(super) struct ForeignData<'a> {
    ui: &'a Ui,
    to_terminal: bool,
    /// What is held back until it is whole, so that beside the document of a failure there is nothing else.
    held: Option<Vec<u8>>,
    /// The beginning of a character whose end is in the next part.
    unfinished: Vec<u8>,
    /// Whether a terminal's last line has no end yet.
    open_line: bool,
}

impl<'a> ForeignData<'a> {
    pub(super) fn through(ui: &'a Ui) -> Self {
        Self {
            ui,
            to_terminal: ui.stdout_is_terminal(),
            held: ui.json().then(Vec::new),
            unfinished: Vec::new(),
            open_line: false,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            if held.len() <= MOST_HELD {
                return Ok(());
            }
        }
        let held = self.held.take();
        self.pass_on(held.as_deref().unwrap_or(bytes))
    }

    fn pass_on(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.to_terminal {
            return self.ui.data(bytes);
        }
        self.unfinished.extend_from_slice(bytes);
        let text = shown_so_far(&mut self.unfinished);
        self.open_line = text.chars().last().map_or(self.open_line, |last| last != '\n');
        self.ui.data(text.as_bytes())
    }

    /// Ends the data, and a terminal's line that it left open, so that the prompt does not stand behind it.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        if let Some(held) = self.held.take() {
            self.pass_on(&held)?;
        }
        if self.open_line { self.ui.data(b"\n") } else { Ok(()) }
    }
}

/// Takes all whole characters out of the bytes, as a terminal may have them.
fn shown_so_far(bytes: &mut Vec<u8>) -> String {
    let is_beginning = |start: &usize| {
        std::str::from_utf8(&bytes[*start..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let end = bytes.len();
    let whole = (end.saturating_sub(3)..end).find(is_beginning).unwrap_or(end);
    let text = harmless::text(&String::from_utf8_lossy(&bytes[..whole]));
    bytes.drain(..whole);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_parts_is_shown_whole_and_harmless() {
        let text = "Zoë — 日本 \u{9b}2J\u{1b}[2J end";
        for length in 1..8 {
            let (mut unfinished, mut shown) = (Vec::new(), String::new());
            for part in text.as_bytes().chunks(length) {
                unfinished.extend_from_slice(part);
                shown.push_str(&shown_so_far(&mut unfinished));
            }
            assert_eq!(shown, harmless::text(text), "in parts of {length}");
        }
        assert_eq!(shown_so_far(&mut b"a\xffb".to_vec()), "a\u{fffd}b");
    }
}
