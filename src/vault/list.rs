//! `recipients.txt`: the list of those to whom everything is sealed. One age recipient a line, `#` comments, as everywhere in the
//! age ecosystem; what makes it ours stands in the comments.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::codes::{Code, Purpose, Secret, VaultId, digest};
use super::recipients::{RecipientError, RecipientText};
use super::sealed::MOST_RECIPIENTS;

/// The list's document.
pub(super) const FILE: &str = "recipients.txt";

/// Stands before the recipient of the vault's own identity, as in version 1.
const OWN: &str = "# The next one is the vault's own, in identity.age.";
const FORMAT: &str = "# format: dfns-keys/recipients ";
const VERSION: &str = "2";
const EPOCH: &str = "# epoch: ";
const KEYS: &str = "# keys: ";
const LABEL: &str = "# label: ";
const CODE: &str = "# code: ";

/// One of those who can open the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What is sealed to.
    pub recipient: RecipientText,
    /// What people call it.
    pub label: Option<String>,
    /// It is that of the vault's own identity, in `identity.age`.
    pub own: bool,
}

impl Member {
    /// A member without a label.
    #[must_use]
    pub fn new(recipient: RecipientText) -> Self {
        Self {
            recipient,
            label: None,
            own: false,
        }
    }
}

/// Checks the label of a recipient: 1 to 64 characters that move no terminal.
///
/// # Errors
/// When it has none, more, or others.
pub fn check_label(label: &str) -> Result<(), RecipientError> {
    let fits = (1..=64).contains(&label.chars().count())
        && label.chars().all(|c| c.is_alphanumeric() || " .,_@+-()'".contains(c))
        && label.trim() == label;
    if fits { Ok(()) } else { Err(RecipientError::Label) }
}

/// A list of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    /// Counts the lists, from 1.
    pub(super) epoch: u64,
    /// The name of the key object that goes with it.
    pub(super) keys: String,
    pub(super) members: Vec<Member>,
}

/// The file as it was read. Nothing of it is believed before [`Written::is_by`] says so.
pub(super) enum Written {
    /// Of version 1, which nobody ever vouched for.
    One(Vec<Member>),
    Two(SignedList),
}

pub(super) struct SignedList {
    pub(super) list: List,
    code: Code,
    covered: String,
    /// Nothing stands behind the code.
    is_whole: bool,
}

impl SignedList {
    /// Whether somebody wrote this list who knows the secret of its epoch.
    pub(super) fn is_by(&self, id: &VaultId, secret: &Secret) -> bool {
        self.is_whole
            && secret.verifies(
                &self.code,
                Purpose::List,
                &[id.as_str().as_bytes(), self.covered.as_bytes()],
            )
    }
}

/// The file of a list.
pub(super) fn render(list: &List, id: &VaultId, secret: &Secret) -> String {
    let List { epoch, keys, members } = list;
    let mut text = format!(
        "# Who can open this vault: one age recipient a line. A change made by hand is refused.\n\
         {FORMAT}{VERSION}\n{EPOCH}{epoch}\n{KEYS}{keys}\n"
    );
    push_members(&mut text, members);
    let code = secret.code(Purpose::List, &[id.as_str().as_bytes(), text.as_bytes()]);
    let _ = writeln!(text, "{CODE}{code}");
    text
}

/// The file of a list of version 1.
#[cfg(test)]
pub(super) fn render_version_1(members: &[Member]) -> String {
    let mut text = String::from("# Who can open this vault: one age recipient a line.\n");
    for Member {
        recipient,
        label: _,
        own,
    } in members
    {
        if *own {
            let _ = writeln!(text, "{OWN}");
        }
        let _ = writeln!(text, "{recipient}");
    }
    text
}

fn push_members(text: &mut String, members: &[Member]) {
    for Member { recipient, label, own } in members {
        if let Some(label) = label {
            let _ = writeln!(text, "{LABEL}{label}");
        }
        if *own {
            let _ = writeln!(text, "{OWN}");
        }
        let _ = writeln!(text, "{recipient}");
    }
}

/// What a writer that only seals pins: the SHA-256 of the whole file, in hex.
pub(super) fn list_digest(bytes: &[u8]) -> String {
    digest(bytes)
}

/// Why a file is no list, in words.
pub(super) enum ListError {
    /// It does not hold what it should.
    Damaged(String),
    /// A newer dfns-keys wrote it.
    Newer(u64),
}

fn damaged(reason: impl Into<String>) -> ListError {
    ListError::Damaged(reason.into())
}

/// Reads the file of either version.
pub(super) fn parse(bytes: &[u8]) -> Result<Written, ListError> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    match text.lines().find_map(|line| line.strip_prefix(FORMAT)) {
        None => Ok(Written::One(parse_members(text)?)),
        Some(VERSION) => parse_version_2(text).map(Written::Two),
        Some(other) => match other.trim().parse() {
            Ok(found) if found > 2 => Err(ListError::Newer(found)),
            _ => Err(damaged("its format version is unknown")),
        },
    }
}

fn parse_version_2(text: &str) -> Result<SignedList, ListError> {
    let field = |prefix: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        match (lines.next(), lines.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(damaged(format!("it does not have one line `{}…`", prefix.trim_end()))),
        }
    };
    let epoch = field(EPOCH)?;
    let epoch = epoch
        .parse()
        .ok()
        .filter(|number: &u64| *number > 0 && number.to_string() == epoch)
        .ok_or_else(|| damaged("its epoch is no number"))?;
    let code = field(CODE)?;
    let last = format!("{CODE}{code}\n");
    let (covered, behind) = text
        .split_once(&last)
        .ok_or_else(|| damaged("the line of its code does not end"))?;
    Ok(SignedList {
        list: List {
            epoch,
            keys: field(KEYS)?.to_owned(),
            // What was added behind the code is told of, too.
            members: parse_members(text)?,
        },
        code: Code::from_text(code),
        covered: covered.to_owned(),
        is_whole: behind.is_empty(),
    })
}

fn parse_members(text: &str) -> Result<Vec<Member>, ListError> {
    let (mut members, mut own, mut label) = (Vec::new(), false, None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            if line == OWN {
                own = true;
            } else if let Some(text) = line.strip_prefix(LABEL) {
                check_label(text).map_err(|error| damaged(format!("line {}: {error}", index + 1)))?;
                label = Some(text.to_owned());
            }
            continue;
        }
        let recipient: RecipientText = line
            .parse()
            .map_err(|error: RecipientError| damaged(format!("line {}: {error}", index + 1)))?;
        members.push(Member {
            recipient,
            label: label.take(),
            own: std::mem::take(&mut own),
        });
        if members.len() > MOST_RECIPIENTS {
            return Err(damaged(format!("it names more than {MOST_RECIPIENTS} recipients")));
        }
    }
    if members.is_empty() {
        return Err(damaged("it names nobody"));
    }
    Ok(members)
}

/// What somebody changed in a list, in words: what stands there beside what members wrote.
pub(super) fn difference(written: &[Member], genuine: &[Member]) -> String {
    let missing_in = |from: &[Member], others: &[Member]| {
        from.iter()
            .filter(|member| !others.iter().any(|other| other.recipient == member.recipient))
            .map(|member| member.recipient.to_string())
            .collect::<Vec<_>>()
    };
    let added = missing_in(written, genuine);
    let removed = missing_in(genuine, written);
    match (added.is_empty(), removed.is_empty()) {
        (true, true) => "a comment, a label or the order was changed".to_owned(),
        (false, true) => format!("added: {}", added.join(", ")),
        (true, false) => format!("removed: {}", removed.join(", ")),
        (false, false) => format!("added: {}; removed: {}", added.join(", "), removed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(label: Option<&str>, own: bool) -> Member {
        Member {
            recipient: age::x25519::Identity::generate()
                .to_public()
                .to_string()
                .parse()
                .unwrap(),
            label: label.map(str::to_owned),
            own,
        }
    }

    #[test]
    fn a_list_comes_back_as_it_was_written_and_no_byte_of_it_may_change() {
        let secret = Secret::generate().unwrap();
        let id = VaultId::of(&secret);
        let list = List {
            epoch: 3,
            keys: "keys/3-abc.age".to_owned(),
            members: vec![member(None, true), member(Some("alice (laptop)"), false)],
        };
        let text = render(&list, &id, &secret);
        let Ok(Written::Two(signed)) = parse(text.as_bytes()) else {
            panic!("it parses");
        };
        assert_eq!(signed.list, list);
        assert!(signed.is_by(&id, &secret));
        assert!(!signed.is_by(&id, &Secret::generate().unwrap()));
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let still_genuine = matches!(parse(&bytes), Ok(Written::Two(signed)) if signed.is_by(&id, &secret));
            assert!(!still_genuine, "byte {position}");
        }
        for addition in ["\n", "# a comment\n", "age1x\n"] {
            let longer = format!("{text}{addition}");
            assert!(!matches!(parse(longer.as_bytes()), Ok(Written::Two(signed)) if signed.is_by(&id, &secret)));
        }
    }

    #[test]
    fn a_list_of_version_1_is_still_read() {
        let members = vec![member(None, true), member(None, false)];
        let text = render_version_1(&members);
        assert!(matches!(parse(text.as_bytes()), Ok(Written::One(read)) if read == members));
    }

    #[test]
    fn a_label_cannot_make_a_second_line_or_move_a_terminal() {
        for label in ["", " a", "a\nb", "a\u{1b}[2J", "\u{202e}a", "#", &"a".repeat(65)] {
            assert!(check_label(label).is_err(), "{label:?}");
        }
        for label in ["alice", "Alice's laptop", "ci (staging)", "Zoë"] {
            assert!(check_label(label).is_ok(), "{label:?}");
        }
    }
}
