//! A JSON document whose list is written while it is read, however long it is.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::error::{Exit, Failure};
use super::ui::Ui;

/// Written to stdout in parts of about this size.
const PART: usize = 64 * 1024;

/// The document so far. Whether all went well stands at its end, since it is known only there.
pub(super) struct Listing<'a> {
    ui: &'a Ui,
    text: String,
    is_empty: bool,
}

impl<'a> Listing<'a> {
    /// Begins a document whose one list is `field`.
    pub(super) fn begin(ui: &'a Ui, field: &str) -> Self {
        Self {
            ui,
            text: format!("{{\n  \"version\": 1,\n  \"{field}\": ["),
            is_empty: true,
        }
    }

    /// Adds to the list.
    pub(super) fn push(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        let item = serde_json::to_value(item).unwrap_or_default();
        if !self.is_empty {
            self.text.push(',');
        }
        self.is_empty = false;
        for line in format!("{item:#}").lines() {
            let _ = write!(self.text, "\n    {line}");
        }
        if self.text.len() > PART {
            self.ui.part_of_document(&std::mem::take(&mut self.text))?;
        }
        Ok(())
    }

    /// Ends the document of a success, with more fields behind the list.
    pub(super) fn finish(self, fields: &Value) -> Result<(), Failure> {
        let mut rest = json!({"ok": true});
        if let (Value::Object(rest), Value::Object(fields)) = (&mut rest, fields) {
            rest.extend(fields.clone());
        }
        self.end(&rest)
    }

    /// Ends the document of what failed halfway.
    pub(super) fn fail(self, failure: &Failure) -> Result<Exit, Failure> {
        self.end(&json!({"ok": false, "error": failure.document()}))?;
        Ok(failure.exit)
    }

    fn end(mut self, rest: &Value) -> Result<(), Failure> {
        self.text.push_str(if self.is_empty { "]," } else { "\n  ]," });
        // The fields of an object, after its opening brace.
        self.text.push_str(&format!("{rest:#}")[1..]);
        self.text.push('\n');
        self.ui.part_of_document(&self.text)
    }
}
