//! Writing to the log: each line with its link, and, by whoever has the vault open, a checkpoint behind them.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::{self, Head};
use super::{Event, FILE, Record, segments};
use crate::sys::files::Appending;
use crate::vault::VaultError;
use crate::vault::codes::{Code, Purpose, Secret, VaultId};

/// What the word for a checkpoint is in place of an action.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// What a member vouches for the log with.
#[derive(Clone)]
pub(in crate::vault) struct Voucher {
    pub(in crate::vault) id: VaultId,
    pub(in crate::vault) epoch: u64,
    pub(in crate::vault) secret: Secret,
}

/// A line that says that a member of the vault had it open when the log was as its link says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    pub(super) at: Timestamp,
    pub(super) action: String,
    pub(super) epoch: u64,
    pub(super) prev: String,
    pub(super) code: Code,
}

impl Checkpoint {
    fn new(voucher: &Voucher, at: Timestamp, head: Head) -> Self {
        let Head(prev) = head;
        let epoch = voucher.epoch;
        let code = voucher
            .secret
            .code(Purpose::Log, &fields(&voucher.id, epoch, &prev, at).each());
        Self {
            at,
            action: CHECKPOINT.to_owned(),
            epoch,
            prev,
            code,
        }
    }

    /// Whether a member wrote it, with this secret of its epoch.
    pub(super) fn is_by(&self, id: &VaultId, secret: &Secret) -> bool {
        let fields = fields(id, self.epoch, &self.prev, self.at);
        secret.verifies(&self.code, Purpose::Log, &fields.each())
    }
}

struct Fields([Vec<u8>; 4]);

impl Fields {
    fn each(&self) -> [&[u8]; 4] {
        self.0.each_ref().map(Vec::as_slice)
    }
}

fn fields(id: &VaultId, epoch: u64, prev: &str, at: Timestamp) -> Fields {
    Fields([
        id.as_str().into(),
        epoch.to_be_bytes().into(),
        prev.into(),
        at.to_string().into_bytes(),
    ])
}

#[derive(Serialize)]
struct Linked<'r> {
    #[serde(flatten)]
    record: &'r Record,
    prev: String,
}

/// Appends what happened, and vouches for all of the log where a voucher is at hand. A file of `full` bytes is put aside first.
pub(in crate::vault) fn append(
    directory: &Path,
    at: Timestamp,
    events: &[Event],
    voucher: Option<&Voucher>,
    full: u64,
) -> Result<(), VaultError> {
    let path = directory.join(FILE);
    let mut file = Appending::begin(&path)?;
    if file.length() >= full && file.is_alone() {
        file.put_aside(&segments::next(directory)?)?;
        file = Appending::begin(&path)?;
    }
    let mut text = Text {
        head: chain::head(directory)?,
        lines: Vec::new(),
    };
    for event in events {
        let record = event.at(at);
        let Head(prev) = text.head.clone();
        text.add(&Linked { record: &record, prev });
    }
    if let Some(voucher) = voucher {
        text.add(&Checkpoint::new(voucher, at, text.head.clone()));
    }
    file.write(&text.lines)?;
    Ok(())
}

/// Lines to be written, and the head that the log then has.
struct Text {
    head: Head,
    lines: Vec<u8>,
}

impl Text {
    fn add(&mut self, line: &impl Serialize) {
        let line = serde_json::to_vec(line).expect("a line of texts and numbers serialises");
        self.head = self.head.after(&line);
        self.lines.extend(line);
        self.lines.push(b'\n');
    }
}
