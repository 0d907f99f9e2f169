//! What goes wrong with the vault.

use super::{Exit, Failure};
use crate::sys::files::FileError;
use crate::sys::lock::LockError;
use crate::vault::{VaultError, VouchedBy, WrongVault};
use crate::workflow::adopt::AdoptError;
use crate::workflow::job::JobError;

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let message = error.to_string();
        match error {
            VaultError::Missing(_) => Self::new(Exit::State, "no_vault", message)
                .hint("make one with `dfns-keys init`, or name another with --vault DIR"),
            VaultError::Exists(_) => Self::new(Exit::State, "vault_exists", message)
                .hint("use it as it is, or make another with --vault DIR"),
            VaultError::Newer { .. } => {
                Self::new(Exit::Vault, "newer_format", message).hint("update dfns-keys; nothing was changed")
            }
            VaultError::Damaged { .. } => {
                Self::new(Exit::Vault, "damaged", message).hint("restore the file from a backup; nothing was changed")
            }
            VaultError::Refused { field, .. } => Self::new(Exit::Vault, "refused_value", message).hint(format!(
                "an earlier dfns-keys took any text there; `age -d` opens the sealed part: take key and token out of it, and `dfns-keys import` them anew without that {field}"
            )),
            VaultError::Tampered { .. } => Self::new(Exit::Vault, "tampered", message).hint(
                "somebody edited the file or put another in its place: restore it from a backup, and find out who can write to the vault",
            ),
            VaultError::ListChanged(_) => Self::new(Exit::Vault, "recipients_changed", message)
                .details(["Nothing was sealed to it.".to_owned()])
                .hint("`dfns-keys recipients sync` puts the list back as members left it; find out who can write to the vault"),
            VaultError::ListMoved | VaultError::VersionTwo => Self::new(Exit::State, "changed", message).hint("run the same command again"),
            VaultError::WrongVault(WrongVault { by, .. }) => {
                let hint = match by {
                    VouchedBy::Identity => "identity.age belongs to another vault than recipients.txt: find out who can write to the folder",
                    VouchedBy::User => "DFNS_KEYS_VAULT_ID names another vault",
                    VouchedBy::Pin => "if another vault is meant to be at this place now, name it once: DFNS_KEYS_VAULT_ID=ID",
                };
                Self::new(Exit::Vault, "other_vault", message).hint(hint)
            }
            VaultError::Unknown { id, .. } => Self::new(Exit::Vault, "unknown_vault", message).hint(format!(
                "compare it with what a member sees (`dfns-keys recipients list --digest --json`), and name it: DFNS_KEYS_VAULT_ID={id}"
            )),
            VaultError::RolledBack(_) => Self::new(Exit::Vault, "rolled_back", message).hint(
                "somebody put an old copy back: find out who, or, if it was you, say so with --accept-rollback",
            ),
            VaultError::NotOnTheList { .. } => Self::new(Exit::Vault, "no_matching_identity", message).hint(
                "ask a member: if they removed you, this is their list. If they did not, somebody else replaced it: take recipients.txt away, and `dfns-keys recipients sync` puts the last one back that you know",
            ),
            VaultError::UnknownEpoch { .. } => Self::new(Exit::Vault, "rolled_back", message)
                .hint("an older recipients.txt was put back: `dfns-keys recipients sync` on a machine that knows the newer one"),
            VaultError::Unauthenticated(name) => Self::new(Exit::Vault, "unauthenticated", message).hint(format!(
                "a member makes it the vault's: dfns-keys vault adopt {name} --fingerprint F, with F as its writer printed it"
            )),
            VaultError::OtherFingerprint(_) => Self::new(Exit::Vault, "other_fingerprint", message)
                .hint("it is not what its writer made, or the fingerprint was mistyped; nothing was changed"),
            VaultError::Authenticated(_) => Self::new(Exit::State, "authenticated", message),
            VaultError::ListNotPinned { .. } => Self::new(Exit::Vault, "recipients_unknown", message).hint(
                "a member prints the digest of the right one with `dfns-keys recipients list --digest`: set DFNS_KEYS_RECIPIENTS to it",
            ),
            VaultError::OtherList { .. } => Self::new(Exit::Vault, "recipients_changed", message).hint(
                "if members changed it, one of them prints the new digest: dfns-keys recipients list --digest (DFNS_KEYS_RECIPIENTS)",
            ),
            VaultError::SealsOnly(_) => {
                Self::new(Exit::Vault, "seal_only", message).hint("a member of the vault does it, with an identity of theirs")
            }
            VaultError::VersionOne => Self::new(Exit::State, "version_1", message)
                .hint("`dfns-keys recipients sync` shows who can open it, asks, and moves it once"),
            VaultError::Renamed { to, .. } => {
                Self::new(Exit::State, "no_such_credential", message).hint(format!("use {to}"))
            }
            VaultError::Occupied { .. } => Self::new(Exit::State, "occupied", message)
                .hint("name a new folder, or an empty one, with --vault DIR"),
            VaultError::Unfinished(_) => Self::new(Exit::State, "unfinished_vault", message).hint(
                "an `init` was cut short: run it again as it was, with the same passphrase and recipients; or remove the folder, which holds no credential",
            ),
            VaultError::ListMissing(_) => Self::new(Exit::Vault, "recipients_missing", message)
                .hint("`dfns-keys recipients sync` puts it back; find out who can write to the vault"),
            VaultError::LeftBehind(_) => Self::new(Exit::State, "left_behind", message)
                .hint("the change itself is in force; `dfns-keys recipients sync` does the rest"),
            VaultError::IdentityKept(_) => Self::new(Exit::State, "left_behind", message)
                .hint("wait for whoever works on them, or put right what is wrong with their files; then run `rekey` again"),
            VaultError::OwnRecipient(_) => Self::new(Exit::State, "own_recipient", message)
                .hint("`dfns-keys rekey` replaces it by a new one, under a new passphrase"),
            VaultError::Randomness => Self::new(Exit::Other, "randomness", message),
            VaultError::Unclear { .. } => {
                Self::new(Exit::Other, "unclear", message).hint("run the same command again: it finds out")
            }
            VaultError::UnexpectedRecipient { recipient, .. } => Self::new(Exit::Vault, "unexpected_recipient", message)
                .hint(format!(
                    "if you added it, say so with `dfns-keys recipients add \"{recipient}\"`; if not, take it out of recipients.txt and find out who can write to the vault"
                )),
            VaultError::NoSuchCredential(name) => Self {
                missing: Some(name),
                ..Self::new(Exit::State, "no_such_credential", message).hint("`dfns-keys list` shows those there are")
            },
            VaultError::CredentialExists(_) => Self::new(Exit::State, "already_exists", message),
            VaultError::Changed(_) => {
                Self::new(Exit::State, "changed", message).hint("nothing was overwritten; run the same command again")
            }
            VaultError::Locked { .. } => {
                Self::new(Exit::State, "locked", message).hint("wait for it, or try again with --wait 30s")
            }
            VaultError::Lock(error) => match error {
                LockError::Io { path, source } => FileError {
                    operation: "lock",
                    path,
                    source,
                }
                .into(),
                LockError::Held { .. } => Self::new(Exit::State, "locked", message),
            },
            VaultError::Identity(error) => error.into(),
            VaultError::Recipient(error) => error.into(),
            VaultError::NotAMember | VaultError::NoMatchingIdentity { .. } => Self::new(Exit::Vault, "no_matching_identity", message)
                .hint("give the identity of one of the recipients with --identity FILE"),
            VaultError::File(error) => error.into(),
        }
    }
}

impl From<AdoptError> for Failure {
    fn from(error: AdoptError) -> Self {
        let message = error.to_string();
        match error {
            AdoptError::Rotating(_) | AdoptError::Delivered(_) => Self::new(Exit::Vault, "tampered", message)
                .hint("find out who can write to the vault; nothing was changed"),
            AdoptError::Job(JobError::Key { .. }) => Self::new(Exit::Vault, "unusable_key", message),
            AdoptError::Job(error) => error.into(),
        }
    }
}
