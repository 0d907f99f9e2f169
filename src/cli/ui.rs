//! The only printer. stdout is for data, stderr for people.
#![expect(clippy::disallowed_methods, reason = "this module is where printing goes through")]

use std::io::{self, IsTerminal, Write};
use std::panic::Location;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::error::{ContextKind, ContextValue};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::When;
use super::error::{Exit, Failure};
use super::harmless;
use super::table::Table;
use super::text::{self, wrapped};
use crate::model::quoted::{shown, without_secrets};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const BOLD: Style = Style::new().bold();

/// What a piece of text means, which decides its colour where there is any.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Plain,
    Good,
    Doubtful,
    Bad,
    Strong,
}

impl Tone {
    /// The text in this tone, with the escapes that a colourless stream strips.
    pub(super) fn paint(self, text: &str) -> String {
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => GREEN,
            Self::Doubtful => YELLOW,
            Self::Bad => RED,
            Self::Strong => BOLD,
        };
        format!("{style}{text}{style:#}")
    }
}

/// The printer.
#[derive(Clone)]
pub(super) struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    wide: bool,
    color: ColorChoice,
    /// The bars on the screen, which make way while anything else is written to it.
    bars: MultiProgress,
}

impl Ui {
    pub(super) fn new(json: bool, quiet: bool, verbose: bool, color: When) -> Self {
        let hidden = quiet || json || !io::stderr().is_terminal();
        Self {
            json,
            quiet,
            verbose,
            wide: false,
            bars: MultiProgress::with_draw_target(if hidden {
                ProgressDrawTarget::hidden()
            } else {
                ProgressDrawTarget::stderr()
            }),
            color: match color {
                When::Auto => ColorChoice::Auto,
                When::Always => ColorChoice::Always,
                When::Never => ColorChoice::Never,
            },
        }
    }

    /// The same, with tables whole or as the window has room.
    pub(super) fn with_tables(self, wide: bool) -> Self {
        Self { wide, ..self }
    }

    /// Whether the answer is a JSON document.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Whether a person would see what is written to stdout.
    pub(super) fn stdout_is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether only what went wrong is wanted.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a person would see what is said.
    #[cfg(feature = "sandbox")]
    pub(super) fn stderr_is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Whether requests are told of.
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }

    /// Does what writes to the screen or asks there, with no bar in its way.
    pub(super) fn with_the_screen<T>(&self, act: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() {
            return act();
        }
        self.bars.suspend(act)
    }

    /// Writes data to stdout, to the byte.
    pub(super) fn data(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.with_the_screen(|| {
            let mut stdout = io::stdout().lock();
            written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
        })
    }

    /// How many columns tables have, or `None` for as many as it takes.
    pub(super) fn window(&self) -> Option<usize> {
        if self.wide { None } else { text::window() }
    }

    /// How long the lines of a text are: beyond some length nobody finds the next one.
    pub(super) fn prose_width(&self) -> usize {
        text::window().unwrap_or(80).clamp(40, 120)
    }

    /// A text in such lines.
    pub(super) fn wrapped(&self, text: &str, indent: &str) -> String {
        wrapped(text, indent, self.prose_width())
    }

    /// Writes a table for people to stdout, with a tone for each row.
    pub(super) fn table(&self, table: Table, tones: &[Tone]) -> Result<(), Failure> {
        let (head, rows) = table.lines(self.window());
        self.answer(&Tone::Strong.paint(&head))?;
        for (row, tone) in rows
            .iter()
            .zip(tones.iter().copied().chain(std::iter::repeat(Tone::Plain)))
        {
            self.answer(&tone.paint(row))?;
        }
        Ok(())
    }

    /// Writes text for people to stdout, because it is what they asked for (a table, a record).
    pub(super) fn answer(&self, text: &str) -> Result<(), Failure> {
        self.with_the_screen(|| {
            let mut stdout = AutoStream::new(io::stdout(), self.choice(io::stdout().is_terminal())).lock();
            written(writeln!(stdout, "{}", harmless::text(text)).and_then(|()| stdout.flush()))
        })
    }

    /// Writes how a command ended: as the one JSON document, or in words.
    pub(super) fn emit<M: Serialize>(
        &self,
        outcome: &M,
        in_words: impl FnOnce(&Self) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        if self.json {
            self.document(outcome)?;
        } else {
            in_words(self)?;
        }
        Ok(Exit::Done)
    }

    /// The same of what a sentence tells.
    pub(super) fn emit_said<M: Serialize>(&self, outcome: &M, sentence: &str) -> Result<Exit, Failure> {
        self.emit(outcome, |ui| {
            ui.say(sentence);
            Ok(())
        })
    }

    /// Writes the one JSON document of a success.
    pub(super) fn document(&self, fields: &impl Serialize) -> Result<(), Failure> {
        let mut document = json!({"ok": true, "version": 1});
        merge(&mut document, serde_json::to_value(fields).unwrap_or_default());
        self.raw_document(&document)
    }

    /// Writes a JSON document as it is.
    pub(super) fn raw_document(&self, document: &Value) -> Result<(), Failure> {
        self.part_of_document(&format!("{document:#}\n"))
    }

    /// Writes a JSON document as one line, for a reader that goes on reading.
    pub(super) fn line(&self, document: &Value) -> Result<(), Failure> {
        self.part_of_document(&format!("{document}\n"))
    }

    /// Writes text that is a part of a JSON document.
    pub(super) fn part_of_document(&self, text: &str) -> Result<(), Failure> {
        self.data(harmless::json(text).as_bytes())
    }

    /// Tells a person something, unless they want quiet.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.stderr(&for_the_window(text));
        }
    }

    fn labelled(&self, tone: Tone, label: &str, text: &str) {
        let text = for_the_window(&format!("{label} {}", without_secrets(text)));
        let text = text.strip_prefix(label).unwrap_or(&text);
        self.stderr(&format!("{}{text}", tone.paint(label)));
    }

    /// Tells a person what they must know even when they want quiet.
    pub(super) fn warn(&self, text: &str) {
        self.labelled(Tone::Doubtful, "warning:", text);
    }

    /// Writes to stderr; where that is closed, there is nobody to tell.
    fn stderr(&self, text: &str) {
        self.with_the_screen(|| {
            let mut stderr = AutoStream::new(io::stderr(), self.choice(io::stderr().is_terminal())).lock();
            let _ = writeln!(stderr, "{}", harmless::text(text));
        });
    }

    fn choice(&self, terminal: bool) -> ColorChoice {
        match self.color {
            ColorChoice::Auto if terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) => {
                ColorChoice::Auto
            }
            ColorChoice::Auto => ColorChoice::Never,
            other => other,
        }
    }

    /// Tells of a failure: in words on stderr, and with `--json` as the one document on stdout.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            let mut document = json!({"ok": false, "version": 1, "error": failure.document()});
            merge(&mut document, Value::Object(failure.extra.clone()));
            let _ = self.raw_document(&document);
            return;
        }
        self.labelled(Tone::Bad, "error:", &failure.message);
        for detail in &failure.details {
            self.stderr(&self.wrapped(&without_secrets(detail), "  "));
        }
        if let Some(hint) = &failure.hint {
            self.labelled(Tone::Strong, "hint:", hint);
        }
    }

    /// Shows that something takes a while, on a terminal only. It goes away when dropped.
    pub(super) fn spinner(&self, text: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        tick(&bar);
        bar
    }

    /// Counts pieces of work, on a terminal only. It goes away when dropped.
    pub(super) fn progress(&self, count: usize, text: &str) -> ProgressBar {
        if count < 2 {
            return self.spinner(text);
        }
        let bar = self.bars.add(ProgressBar::new(count as u64));
        if let Ok(style) = ProgressStyle::with_template("  {msg}  {bar:20}  {pos} of {len}  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        tick(&bar);
        bar
    }
}

/// A text for people, in lines that their window has room for.
fn for_the_window(text: &str) -> String {
    text::window_of_stderr().map_or_else(|| text.to_owned(), |width| text::broken(text, width))
}

/// Keeps a bar moving. It takes a thread, which a bar that nobody sees can do without.
fn tick(bar: &ProgressBar) {
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
}

fn merge(document: &mut Value, fields: Value) {
    if let (Value::Object(document), Value::Object(fields)) = (document, fields) {
        document.extend(fields);
    }
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::new(Exit::Other, "broken_pipe", "nobody reads the output")
        } else {
            Failure::new(Exit::Other, "output", format!("cannot write the output: {error}"))
        }
    })
}

/// Tells of a wrong command line, or shows the help that was asked for.
pub(super) fn usage(error: clap::Error, tip: Option<String>, json: bool) -> Exit {
    if !error.use_stderr() {
        // Help and version are data. A reader that has seen enough is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    let error = without_values(error);
    if json {
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let flags = || "`dfns-keys --help` and `dfns-keys COMMAND --help` tell the flags".to_owned();
        let failure = Failure::usage(message).hint(tip.unwrap_or_else(flags));
        Ui::new(true, false, false, When::Never).failure(&failure);
    } else {
        let _ = error.print();
        if let Some(tip) = tip {
            let _ = writeln!(io::stderr(), "hint: {}", harmless::text(&tip));
        }
    }
    Exit::Usage
}

/// A wrong command line as clap tells of it, without what may be a secret: a token pasted behind the wrong option, say.
fn without_values(mut error: clap::Error) -> clap::Error {
    let given = |(kind, value): (ContextKind, &ContextValue)| match value {
        ContextValue::String(text) if shown(text) != text.escape_debug().to_string() => Some((kind, shown(text))),
        _ => None,
    };
    let doubtful: Vec<(ContextKind, String)> = error.context().filter_map(given).collect();
    if !doubtful.is_empty() {
        // A tip says the value again.
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    for (kind, text) in doubtful {
        error.insert(kind, ContextValue::String(text));
    }
    error
}

/// Tells of a bug: where it is, and nothing of what was at hand.
pub(super) fn report_bug(location: Option<&Location<'_>>) {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let _ = writeln!(
        io::stderr(),
        "error: this is a bug in dfns-keys, at {place}\nhint: please report it with this line and the command, but no secrets"
    );
}

/// Fields for a failure's JSON document.
pub(super) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_colours_and_line_ends_pass() {
        let ours = Tone::Bad.paint("Zoë — 日本\n\tFAIL");
        assert_eq!(harmless::text(&ours), ours);
    }
}
