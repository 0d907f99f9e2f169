//! What is checked: one row a check.

use serde::{Serialize, Serializer};

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

macro_rules! checks {
    ($($(#[$meaning:meta])* $id:ident = $name:literal: $asks:literal, $causes:literal, $cure:literal;)*) => {
        /// A check. The names are part of the contract with scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CheckId {
            $($(#[$meaning])* $id,)*
        }

        impl CheckId {
            /// All checks, in the order of a report.
            pub const ALL: &[Self] = &[$(Self::$id),*];

            /// The name in reports and documents.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                }
            }

            /// What the check is about.
            #[must_use]
            pub fn explanation(self) -> Explanation {
                let (asks, causes, cure) = match self {
                    $(Self::$id => ($asks, $causes, $cure),)*
                };
                Explanation { asks, causes, cure }
            }
        }
    };
}

// In the order of a report, a check after those whose ground it stands on: its name, what it asks, why it fails or warns, what
// to do then.
checks! {
    /// The file can be read, and by its owner alone.
    SourceReadable = "source.readable":
        "Can the source be read, and by its owner alone?",
        "The file is missing, unreadable or of another format (a Postman collection, a line that is no assignment). Warns when others on the machine can read it.",
        "Export it again; `chmod 600 FILE`.";
    /// Every variable is there and not empty.
    SourceComplete = "source.complete":
        "Is every variable there, and none empty?",
        "A variable was left out, emptied, or disabled in Postman; a credential of the vault waits for its token; an id is none (a token in its place). Warns for a Postman environment without its origin. An application id is never missed.",
        "Copy the environment again, whole; `dfns-keys onboard NAME` brings the token.";
    /// The private key is one.
    KeyParses = "key.parses":
        "Is the private key one?",
        "Line breaks lost or written out as `\\n`, quotes, base64 around the whole, a public key or certificate instead, a key under a passphrase, a truncated paste. Warns where an application may decode `\\n` or base64 itself; where `DFNS_PRIVATE_KEY_ENCODING=base64` says that it does, all is well.",
        "Paste the key file's contents as they are. Where the paste can be mended, the fingerprint of the mended key is shown.";
    /// It is on prime256v1.
    KeyCurve = "key.curve":
        "Is it on the curve prime256v1?",
        "RSA and Ed25519 keys sign and are warned of; a key on another curve does not.",
        "`dfns-keys import` and `dfns-keys rotate` replace such a key; else `dfns-keys generate` and register its public half.";
    /// It belongs to the public key kept beside it.
    KeyMatchesPublic = "key.matches_public":
        "Does it belong to the public key kept beside it?",
        "Two halves of different pairs. Warns of a file or an environment with a key that the vault on this machine has replaced, or is about to: the old key of a rotation that is under way works, and soon will not.",
        "Find the private key with the fingerprint shown; export the new one.";
    /// The token has the shape of one.
    TokenShape = "token.shape":
        "Does the token look like one?",
        "Spaces, quotes, a line break, `Bearer` in front, a part missing, a key in its place.",
        "Copy it again as one piece; it has three parts between dots.";
    /// The token has not ended, nor is about to.
    TokenExpiry = "token.expiry":
        "Has the token ended, or is it about to?",
        "It expired. Warns within `--min-days` (30).",
        "Make a new one: no call renews a token.";
    /// It belongs to the organisation expected.
    TokenOrganisation = "token.organisation":
        "Does the token belong to the organisation expected (`--org-id`, `DFNS_ORG_ID`, the vault's)?",
        "The token of another organisation, production for staging, say.",
        "Take the right organisation's token.";
    /// The origin is one.
    OriginShape = "origin.shape":
        "Is the origin one?",
        "No scheme, or a path behind the host.",
        "Write scheme and host: `https://app.dfns.io`.";
    /// The API's address is one.
    ApiUrl = "api.url":
        "Is the API's address one, and the one meant?",
        "Plain http, a path, a scheme where Postman wants a bare host, a slash at the end. Warns when a name says production and the address staging, or the other way round.",
        "`https://api.dfns.io`; in Postman `api.dfns.io`.";
    /// Dfns answers there.
    ApiReachable = "api.reachable":
        "Does Dfns answer there?",
        "The name does not resolve, no connection, a certificate that is not Dfns's, a proxy's web page, 429, 5xx.",
        "Exit code 6: look at the network, or try again later.";
    /// Our clock and theirs agree.
    ClockSkew = "clock.skew":
        "Do this machine's clock and Dfns's agree?",
        "Warns from a minute's difference, by the answer's `Date`.",
        "Set the clock (NTP).";
    /// Dfns accepts the token.
    TokenAccepted = "token.accepted":
        "Does Dfns accept the token?",
        "Revoked, deactivated, forged, or of another region.",
        "Look at the account in the dashboard, and at the address.";
    /// A key is registered for it, the one named if one is named.
    CredentialRegistered = "credential.registered":
        "Is a key registered for the token, and the one named if one is named?",
        "The key was deleted or deactivated, or `DFNS_CRED_ID` is another token's.",
        "Take the credential id that belongs to this token.";
    /// Dfns accepts a signature by this key.
    SignatureAccepted = "signature.accepted":
        "Does Dfns accept a signature by this key?",
        "The key is another credential's, the origin another application's, or the key only works once mended.",
        "Bring token and key of one account together.";
    /// The public key registered is this one's.
    PublicKeyRegistered = "public_key.registered":
        "Which public key is registered?",
        "Looked up only where a signature was refused and the token may read it.",
        "Find the private key with the fingerprint shown.";
    /// The permissions expected are granted.
    PermissionsGranted = "permissions.granted":
        "Are the operations granted that `--expect-permission` names?",
        "A permission was not assigned. Warns when the account may not read its own.",
        "Assign it in the dashboard; `Auth:ServiceAccounts:Read` lets a service account look at itself.";
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
