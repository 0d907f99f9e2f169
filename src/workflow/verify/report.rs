//! The report: for each subject every check, with a status, one sentence, and a hint.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::model::quoted::without_secrets;

/// What is checked. The identifiers are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckId {
    /// The file can be read, and by its owner alone.
    SourceReadable,
    /// Every variable is there and not empty.
    SourceComplete,
    /// The private key is one.
    KeyParses,
    /// It is on prime256v1.
    KeyCurve,
    /// It belongs to the public key kept beside it.
    KeyMatchesPublic,
    /// The token has the shape of one.
    TokenShape,
    /// The token has not ended, nor is about to.
    TokenExpiry,
    /// It belongs to the organisation expected.
    TokenOrganisation,
    /// The origin is one.
    OriginShape,
    /// The API's address is one.
    ApiUrl,
    /// Dfns answers there.
    ApiReachable,
    /// Our clock and theirs agree.
    ClockSkew,
    /// Dfns accepts the token.
    TokenAccepted,
    /// A key is registered for it, the one named if one is named.
    CredentialRegistered,
    /// Dfns accepts a signature by this key.
    SignatureAccepted,
    /// The public key registered is this one's.
    PublicKeyRegistered,
    /// The permissions expected are granted.
    PermissionsGranted,
}

impl CheckId {
    /// All checks, in the order of a report.
    pub const ALL: [Self; 17] = [
        Self::SourceReadable,
        Self::SourceComplete,
        Self::KeyParses,
        Self::KeyCurve,
        Self::KeyMatchesPublic,
        Self::TokenShape,
        Self::TokenExpiry,
        Self::TokenOrganisation,
        Self::OriginShape,
        Self::ApiUrl,
        Self::ApiReachable,
        Self::ClockSkew,
        Self::TokenAccepted,
        Self::CredentialRegistered,
        Self::SignatureAccepted,
        Self::PublicKeyRegistered,
        Self::PermissionsGranted,
    ];

    /// The identifier in reports and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceReadable => "source.readable",
            Self::SourceComplete => "source.complete",
            Self::KeyParses => "key.parses",
            Self::KeyCurve => "key.curve",
            Self::KeyMatchesPublic => "key.matches_public",
            Self::TokenShape => "token.shape",
            Self::TokenExpiry => "token.expiry",
            Self::TokenOrganisation => "token.organisation",
            Self::OriginShape => "origin.shape",
            Self::ApiUrl => "api.url",
            Self::ApiReachable => "api.reachable",
            Self::ClockSkew => "clock.skew",
            Self::TokenAccepted => "token.accepted",
            Self::CredentialRegistered => "credential.registered",
            Self::SignatureAccepted => "signature.accepted",
            Self::PublicKeyRegistered => "public_key.registered",
            Self::PermissionsGranted => "permissions.granted",
        }
    }
}

/// What a check is about, for the page that lists them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What is looked at.
    pub asks: &'static str,
    /// Why it fails or warns.
    pub causes: &'static str,
    /// What to do then.
    pub cure: &'static str,
}

impl CheckId {
    /// What the check is about.
    #[must_use]
    pub fn explanation(self) -> Explanation {
        let (asks, causes, cure) = match self {
            Self::SourceReadable => (
                "Can the source be read, and by its owner alone?",
                "The file is missing, unreadable or of another format (a Postman collection, a line that is no assignment). Warns when others on the machine can read it.",
                "Export it again; `chmod 600 FILE`.",
            ),
            Self::SourceComplete => (
                "Is every variable there, and none empty?",
                "A variable was left out, emptied, or disabled in Postman; a credential of the vault waits for its token; an id is none (a token in its place). Warns for a Postman environment without its origin. An application id is never missed.",
                "Copy the environment again, whole; `dfns-keys onboard NAME` brings the token.",
            ),
            Self::KeyParses => (
                "Is the private key one?",
                "Line breaks lost or written out as `\\n`, quotes, base64 around the whole, a public key or certificate instead, a key under a passphrase, a truncated paste. Warns where an application may decode `\\n` or base64 itself; where `DFNS_PRIVATE_KEY_ENCODING=base64` says that it does, all is well.",
                "Paste the key file's contents as they are. Where the paste can be mended, the fingerprint of the mended key is shown.",
            ),
            Self::KeyCurve => (
                "Is it on the curve prime256v1?",
                "RSA and Ed25519 keys sign and are warned of; a key on another curve does not.",
                "`dfns-keys import` and `dfns-keys rotate` replace such a key; else `dfns-keys generate` and register its public half.",
            ),
            Self::KeyMatchesPublic => (
                "Does it belong to the public key kept beside it?",
                "Two halves of different pairs. Warns of a file or an environment with a key that the vault on this machine has replaced, or is about to: the old key of a rotation that is under way works, and soon will not.",
                "Find the private key with the fingerprint shown; export the new one.",
            ),
            Self::TokenShape => (
                "Does the token look like one?",
                "Spaces, quotes, a line break, `Bearer` in front, a part missing, a key in its place.",
                "Copy it again as one piece; it has three parts between dots.",
            ),
            Self::TokenExpiry => (
                "Has the token ended, or is it about to?",
                "It expired. Warns within `--min-days` (30).",
                "Make a new one: no call renews a token.",
            ),
            Self::TokenOrganisation => (
                "Does the token belong to the organisation expected (`--org-id`, `DFNS_ORG_ID`, the vault's)?",
                "The token of another organisation, production for staging, say.",
                "Take the right organisation's token.",
            ),
            Self::OriginShape => (
                "Is the origin one?",
                "No scheme, or a path behind the host.",
                "Write scheme and host: `https://app.dfns.io`.",
            ),
            Self::ApiUrl => (
                "Is the API's address one, and the one meant?",
                "Plain http, a path, a scheme where Postman wants a bare host, a slash at the end. Warns when a name says production and the address staging, or the other way round.",
                "`https://api.dfns.io`; in Postman `api.dfns.io`.",
            ),
            Self::ApiReachable => (
                "Does Dfns answer there?",
                "The name does not resolve, no connection, a certificate that is not Dfns's, a proxy's web page, 429, 5xx.",
                "Exit code 6: look at the network, or try again later.",
            ),
            Self::ClockSkew => (
                "Do this machine's clock and Dfns's agree?",
                "Warns from a minute's difference, by the answer's `Date`.",
                "Set the clock (NTP).",
            ),
            Self::TokenAccepted => (
                "Does Dfns accept the token?",
                "Revoked, deactivated, forged, or of another region.",
                "Look at the account in the dashboard, and at the address.",
            ),
            Self::CredentialRegistered => (
                "Is a key registered for the token, and the one named if one is named?",
                "The key was deleted or deactivated, or `DFNS_CRED_ID` is another token's.",
                "Take the credential id that belongs to this token.",
            ),
            Self::SignatureAccepted => (
                "Does Dfns accept a signature by this key?",
                "The key is another credential's, the origin another application's, or the key only works once mended.",
                "Bring token and key of one account together.",
            ),
            Self::PublicKeyRegistered => (
                "Which public key is registered?",
                "Looked up only where a signature was refused and the token may read it.",
                "Find the private key with the fingerprint shown.",
            ),
            Self::PermissionsGranted => (
                "Are the operations granted that `--expect-permission` names?",
                "A permission was not assigned. Warns when the account may not read its own.",
                "Assign it in the dashboard; `Auth:ServiceAccounts:Read` lets a service account look at itself.",
            ),
        };
        Explanation { asks, causes, cure }
    }
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Pass,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// There was no ground to stand on, or nothing to check.
    Skip,
}

/// Whom a failure is blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The environment that is verified.
    Environment,
    /// Dfns or the way to it: trying again later may help.
    Network,
}

/// One check of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which.
    pub id: CheckId,
    /// How it ended.
    pub status: Status,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How long it took, in milliseconds. What follows from another check's answer took none.
    pub ms: u64,
    /// Who is to blame for a failure.
    #[serde(skip)]
    pub blame: Blame,
}

impl Check {
    fn new(id: CheckId, status: Status, message: impl Into<String>) -> Self {
        Self {
            id,
            status,
            message: without_secrets(&message.into()),
            hint: None,
            ms: 0,
            blame: Blame::Environment,
        }
    }

    /// As it should be.
    pub fn pass(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Pass, message)
    }

    /// Somebody should look at it.
    pub fn warn(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Warn, message)
    }

    /// It does not work.
    pub fn fail(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Fail, message)
    }

    /// Nothing to check, or no ground to check it on.
    pub fn skip(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Skip, message)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(without_secrets(&hint.into()));
        self
    }

    /// With how long it took.
    #[must_use]
    pub fn took(mut self, elapsed: Duration) -> Self {
        self.ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// With Dfns or the network to blame.
    #[must_use]
    pub fn blame_network(mut self) -> Self {
        self.blame = Blame::Network;
        self
    }
}

/// All checks of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubjectReport {
    /// What was verified: a credential's name or a file's.
    pub subject: String,
    /// Whether no check failed.
    pub ok: bool,
    /// The checks, in their fixed order.
    pub checks: Vec<Check>,
}

impl SubjectReport {
    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            ok: true,
            checks: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, check: Check) {
        self.ok &= check.status != Status::Fail;
        self.checks.push(check);
    }

    /// The check of this identifier.
    #[must_use]
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }
}

/// What the exit code says of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No check failed.
    Safe,
    /// Something about an environment is wrong.
    Refused,
    /// Nothing is known to be wrong, but Dfns could not be asked.
    Unreachable,
}

/// The reports of all subjects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One a subject.
    pub subjects: Vec<SubjectReport>,
}

impl Report {
    /// Makes warnings failures.
    pub fn make_strict(&mut self) {
        for subject in &mut self.subjects {
            for check in &mut subject.checks {
                if check.status == Status::Warn {
                    check.status = Status::Fail;
                    subject.ok = false;
                }
            }
        }
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.checks().filter(|check| check.status == status).count()
    }

    /// Whether the environment is safe to use.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut failures = self.checks().filter(|check| check.status == Status::Fail).peekable();
        if failures.peek().is_none() {
            Verdict::Safe
        } else if failures.all(|check| check.blame == Blame::Network) {
            Verdict::Unreachable
        } else {
            Verdict::Refused
        }
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.subjects.iter().flat_map(|subject| &subject.checks)
    }
}
