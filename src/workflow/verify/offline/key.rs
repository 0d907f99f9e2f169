//! The private key, and the public half kept beside it.

use crate::keys::mend::read_mending;
use crate::keys::pem::{public_fingerprint, unseal};
use crate::keys::{Algorithm, KeyError, PrivateKey};
use crate::model::credential::KeyMaterial;
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::user_action::Signer;
use crate::workflow::sources::{Source, Subject};
use crate::workflow::verify::Expectations;
use crate::workflow::verify::checks::CheckId;
use crate::workflow::verify::report::{Check, SubjectReport};

/// A key to sign with.
pub(in crate::workflow::verify) struct UsableKey {
    pub(in crate::workflow::verify) key: PrivateKey,
    /// Whether it had to be mended, so that whoever reads this source as it stands could not have signed.
    pub(in crate::workflow::verify) mended: bool,
}

pub(super) fn check(subject: &Subject, expectations: &Expectations, report: &mut SubjectReport) -> Option<UsableKey> {
    let Some(text) = subject.private_key.value() else {
        for id in [CheckId::KeyParses, CheckId::KeyCurve, CheckId::KeyMatchesPublic] {
            report.push(Check::skip(id, "there is no private key"));
        }
        return None;
    };
    if let Some(material) = &subject.held {
        return held(subject, material, expectations, report);
    }
    let name = subject.private_key.name;
    let (key, wound) = match read_mending(text) {
        Ok(read) => read,
        Err(error) => {
            unusable_key(name, &error, report);
            return None;
        }
    };
    let fingerprint = key.public_key().fingerprint;
    let mended = match wound {
        None => {
            report.push(Check::pass(CheckId::KeyParses, fingerprint));
            false
        }
        Some(KeyError::Base64OfPem) if subject.key_is_declared_base64 => {
            let message = format!("in base64, which the application decodes: {fingerprint}");
            report.push(Check::pass(CheckId::KeyParses, message));
            false
        }
        Some(wound) if reader_may_decode(subject.source, &wound) => {
            report.push(Check::warn(CheckId::KeyParses, format!("{name} {wound}")).hint(format!(
                "fine where the application decodes it; it reads well then: {fingerprint}"
            )));
            false
        }
        Some(wound) => {
            report.push(
                Check::fail(CheckId::KeyParses, format!("{name} {wound}"))
                    .hint(format!("{}. It reads well once mended: {fingerprint}", mending(&wound))),
            );
            true
        }
    };
    report.push(curve(subject, key.algorithm()));
    report.push(matches_public(subject, &key, &expectations.known));
    Some(UsableKey { key, mended })
}

/// A key that is held elsewhere: whether it is there is seen when it signs.
fn held(
    subject: &Subject,
    material: &KeyMaterial,
    expectations: &Expectations,
    report: &mut SubjectReport,
) -> Option<UsableKey> {
    let key = match unseal(material) {
        Ok(key) => key,
        Err(error) => {
            unusable_key(subject.private_key.name, &error, report);
            return None;
        }
    };
    let place = key.held().map(KeyUri::in_words).unwrap_or_default();
    let fingerprint = key.public_key().fingerprint;
    report.push(Check::pass(
        CheckId::KeyParses,
        format!("held elsewhere, as {place}: {fingerprint}"),
    ));
    report.push(curve(subject, key.algorithm()));
    report.push(matches_public(subject, &key, &expectations.known));
    Some(UsableKey { key, mended: false })
}

fn curve(subject: &Subject, algorithm: Algorithm) -> Check {
    if algorithm == Algorithm::P256 {
        return Check::pass(CheckId::KeyCurve, "prime256v1");
    }
    Check::warn(
        CheckId::KeyCurve,
        format!("{algorithm}: Dfns takes it, but every new key is made on prime256v1"),
    )
    .hint(match subject.source {
        Source::Vault | Source::Pending => format!("replace it: dfns-keys rotate {}", subject.label),
        Source::Postman | Source::Dotenv | Source::ProcessEnvironment => {
            "replace it: import it into the vault, then rotate it".to_owned()
        }
    })
}

/// Applications that take a key from a variable often decode `\n` or base64 themselves, because a variable cannot hold
/// line breaks everywhere. Postman's script does not.
fn reader_may_decode(source: Source, wound: &KeyError) -> bool {
    matches!(source, Source::Dotenv | Source::ProcessEnvironment)
        && matches!(wound, KeyError::NewLinesEscaped | KeyError::Base64OfPem)
}

fn mending(wound: &KeyError) -> &'static str {
    match wound {
        KeyError::NewLinesLost => "paste it again with its line breaks: Postman keeps them only if they are pasted",
        KeyError::NewLinesEscaped => "turn each \\n into a real line break",
        KeyError::Quoted => "take the quotes away",
        KeyError::Base64OfPem => "decode the base64",
        _ => "paste the file's contents as they are",
    }
}

fn unusable_key(name: &str, error: &KeyError, report: &mut SubjectReport) {
    let other_key = matches!(
        error,
        KeyError::OtherCurve { .. } | KeyError::UnusableRsa | KeyError::OtherAlgorithm { .. }
    );
    let message = format!("{name} {error}");
    if other_key {
        report.push(Check::pass(CheckId::KeyParses, "it is a private key"));
        report.push(Check::fail(CheckId::KeyCurve, message).hint("make a key on prime256v1: dfns-keys generate"));
    } else {
        let hint = match error {
            KeyError::PublicKey => "the private key is the one between BEGIN EC PRIVATE KEY or BEGIN PRIVATE KEY",
            KeyError::Certificate => "a certificate holds a public key only",
            KeyError::PassphraseNeeded | KeyError::EncryptedSec1 | KeyError::OldEncryption => {
                "whoever reads this source knows no passphrase: it needs the key in clear, or better from the vault"
            }
            _ => "paste the key file's contents again, whole",
        };
        report.push(Check::fail(CheckId::KeyParses, message).hint(hint));
        report.push(Check::skip(CheckId::KeyCurve, "the key does not parse"));
    }
    report.push(Check::skip(CheckId::KeyMatchesPublic, "there is no usable private key"));
}

fn matches_public(subject: &Subject, key: &PrivateKey, known: &[PublicRecord]) -> Check {
    let id = CheckId::KeyMatchesPublic;
    let Some(text) = subject.public_key.value() else {
        return replaced(subject, &key.public_key().fingerprint, known)
            .unwrap_or_else(|| Check::skip(id, "the source keeps no public key"));
    };
    match public_fingerprint(text.as_bytes()) {
        Ok(public) if public == key.public_key().fingerprint => Check::pass(id, "the public key is this private key's"),
        Ok(public) => Check::fail(id, format!("the public key ({public}) is another key's")),
        Err(error) => Check::fail(id, format!("the public key {error}")),
    }
}

/// What the vault at hand has another key for by now, or soon.
fn replaced(subject: &Subject, fingerprint: &str, known: &[PublicRecord]) -> Option<Check> {
    if known.iter().any(|record| record.fingerprint == fingerprint) {
        return None;
    }
    let earlier = |record: &&PublicRecord| record.earlier_fingerprints.iter().any(|one| one == fingerprint);
    let record = known.iter().find(earlier)?;
    let name = &record.name;
    let message = if record.has_key(fingerprint) {
        format!("a rotation of {name} is under way: this is its old key, which works until it is retired")
    } else {
        format!("the vault has another key for {name} by now")
    };
    let again = |format: &str| {
        let file = Some(&*subject.label).filter(|label| !label.contains([' ', '\'', '"', '…']));
        format!(
            "hand the new one over: `dfns-keys export {name} --format {format} --output {} --force`",
            file.unwrap_or("FILE")
        )
    };
    Some(
        Check::warn(CheckId::KeyMatchesPublic, message).hint(match subject.source {
            Source::Dotenv => again("dotenv"),
            Source::Postman => again("postman-environment"),
            Source::Vault | Source::Pending | Source::ProcessEnvironment => {
                format!("hand the new one over: `dfns-keys exec {name}` starts a program with it")
            }
        }),
    )
}
