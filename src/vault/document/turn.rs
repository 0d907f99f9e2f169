//! Which write of a name a document is: what tells an older document from a newer one.

use serde::Deserialize;

use super::super::VaultError;
use super::super::codes::digest;
use super::super::marks::Mark;

/// How many of its writers before the last a document remembers.
const ANCESTORS: usize = 8;

/// Which write of a name a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct Turn {
    /// Counts the writes of a name, from 1.
    pub(in crate::vault) revision: u64,
    /// The random id of this write and those of the ones before it, newest first.
    pub(in crate::vault) writes: Vec<String>,
}

impl Turn {
    /// The turn that a mark remembers; without one, that of a name that never had a document.
    pub(in crate::vault) fn of(mark: Option<Mark>) -> Self {
        mark.map_or_else(
            || Self {
                revision: 0,
                writes: Vec::new(),
            },
            |mark| Self {
                revision: mark.revision,
                writes: mark.writes,
            },
        )
    }

    /// The turn after one of this revision, whose writes these were.
    pub(in crate::vault) fn after(revision: u64, writes: &[String]) -> Result<Self, VaultError> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
        let id = digest(&bytes)[..32].to_owned();
        Ok(Self {
            revision: revision.saturating_add(1),
            writes: std::iter::once(id)
                .chain(writes.iter().take(ANCESTORS).cloned())
                .collect(),
        })
    }

    fn id(&self) -> &str {
        self.writes.first().map_or("", String::as_str)
    }

    pub(super) fn mark(&self, epoch: u64) -> Mark {
        Mark {
            epoch,
            revision: self.revision,
            writes: self.writes.clone(),
        }
    }
}

/// Whether a document is the write of this turn.
pub(in crate::vault) fn is_of(bytes: &[u8], turn: &Turn) -> bool {
    #[derive(Deserialize)]
    struct Writes {
        #[serde(default)]
        writes: Vec<String>,
    }
    serde_json::from_slice(bytes).is_ok_and(|Writes { writes }| writes.first().map(String::as_str) == Some(turn.id()))
}
