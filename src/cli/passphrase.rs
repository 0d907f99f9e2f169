//! The one supplier of passphrases, for every command: flag, then environment, then terminal.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;

use bip39::Language;
use secrecy::{ExposeSecret, SecretString};
use zeroize::{Zeroize, Zeroizing};

use super::error::{Exit, Failure};
use super::origin::Origin;
use super::terminal;
use super::ui::Ui;
use crate::keys::pem::is_encrypted;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::secret::{Passphrase, is_empty};
use crate::sys::session::Kept;
use crate::vault::{IdentityError, Keyholder, PassphrasePurpose, PluginDialogue};

/// 110 bits, as rage's generated passphrases have.
const GENERATED_WORDS: usize = 10;
/// Fewer characters can all be tried by whoever has a copy, scrypt or not.
const FEWEST_CHARACTERS: usize = 8;
/// As many of them must differ.
const FEWEST_DIFFERENT: usize = 4;

/// Hands out the passphrase. Asked twice for the same thing, it answers from memory.
pub(super) struct Supplier {
    ui: Ui,
    /// What a flag or the environment names, until it was read.
    origin: Cell<Option<Origin>>,
    was_read: Cell<bool>,
    has_flag: bool,
    may_ask: bool,
    given: RefCell<OnceCell<Option<Passphrase>>>,
    asked: RefCell<HashMap<String, Passphrase>>,
    /// The vault's own identity, where `unlock` keeps it; it goes before the terminal.
    kept: Cell<Option<Kept>>,
    has_source: bool,
    /// Stands before each question: the context, where there is one.
    named: String,
}

impl Supplier {
    /// A flag goes before the environment.
    pub(super) fn new(
        ui: Ui,
        flag: Option<Origin>,
        environment: Option<Origin>,
        may_ask: bool,
        context: Option<&CredentialName>,
    ) -> Self {
        Self {
            ui,
            has_flag: flag.is_some(),
            has_source: flag.is_some() || environment.is_some(),
            kept: Cell::new(None),
            named: context.map(|name| format!("[{name}] ")).unwrap_or_default(),
            origin: Cell::new(flag.or(environment)),
            was_read: Cell::new(false),
            may_ask,
            given: RefCell::new(OnceCell::new()),
            asked: RefCell::new(HashMap::new()),
        }
    }

    /// What stands before a question: the context, where there is one.
    pub(super) fn named(&self) -> &str {
        &self.named
    }

    /// Whether a flag names the passphrase's source.
    pub(super) fn has_flag(&self) -> bool {
        self.has_flag
    }

    /// Remembers where the vault's identity is kept.
    pub(super) fn set_kept(&self, kept: Option<Kept>) {
        self.kept.set(kept);
    }

    /// Asks for the passphrase although the vault is unlocked.
    pub(super) fn insist(&self) {
        self.kept.take();
    }

    /// Whether the vault is unlocked, and nothing goes before that.
    pub(super) fn is_unlocked(&self) -> bool {
        let kept = self.kept.take();
        let is_unlocked = kept.is_some() && !self.has_source;
        self.kept.set(kept);
        is_unlocked
    }

    /// The passphrase that a flag or the environment gives, if one does.
    fn given(&self) -> Result<Option<Passphrase>, IdentityError> {
        if let Some(given) = self.given.borrow().get() {
            return Ok(given.clone());
        }
        // What could not be read is not read again, and nobody is asked in its place.
        if self.was_read.replace(true) {
            return Err(unreadable(
                "where it was said to be",
                io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        let given = match self.origin.take() {
            Some(origin) => origin.read()?,
            None => None,
        };
        Ok(self.given.borrow().get_or_init(|| given).clone())
    }

    /// Forgets what it was given and told, for a process that goes on for long after it needed it.
    pub(super) fn forget(&self) {
        drop(self.origin.take());
        self.given.take();
        self.asked.take();
        self.kept.take();
    }

    /// Forgets what was typed, which was wrong. Whether anything was.
    pub(super) fn forget_asked(&self) -> bool {
        !self.asked.take().is_empty()
    }

    /// The passphrase for something that exists.
    pub(super) fn existing(&self, key: String, question: &str) -> Result<Passphrase, IdentityError> {
        if let Some(given) = self.given()? {
            return Ok(given);
        }
        if let Some(asked) = self.asked.borrow().get(&key) {
            return Ok(asked.clone());
        }
        if !self.may_ask {
            return Err(IdentityError::NobodyToAsk);
        }
        let passphrase = self.ask(&format!("{question}: "))?;
        self.asked.borrow_mut().insert(key, passphrase.clone());
        Ok(passphrase)
    }

    /// The passphrase of a private key, where it is encrypted with one.
    pub(super) fn of_key(&self, contents: &[u8], shown: &str) -> Result<Option<Passphrase>, IdentityError> {
        is_encrypted(contents)
            .then(|| self.existing(shown.to_owned(), &format!("Passphrase of {shown}")))
            .transpose()
    }

    /// A passphrase for something new: given, or asked twice, or generated when left empty.
    pub(super) fn fresh(&self, what: &str) -> Result<Passphrase, Failure> {
        if let Some(given) = self.given()? {
            return acceptable(&self.ui, given);
        }
        self.ask_twice(what, "give --passphrase-file FILE, or seal to --recipient RECIPIENT")
    }

    /// The passphrase that replaces another: from a source of its own, or asked twice.
    pub(super) fn replacement(&self, origin: Option<Origin>) -> Result<Passphrase, Failure> {
        match origin {
            Some(origin) => acceptable(&self.ui, origin.read()?.ok_or(IdentityError::NobodyToAsk)?),
            None => self.ask_twice("New passphrase for the vault", "give --new-passphrase-file FILE"),
        }
    }

    fn ask(&self, prompt: &str) -> Result<Passphrase, IdentityError> {
        let prompt = format!("{}{prompt}", self.named);
        asked(self.ui.with_the_screen(|| terminal::ask_hidden(&prompt)))
    }

    fn ask_twice(&self, what: &str, otherwise: &str) -> Result<Passphrase, Failure> {
        if !self.may_ask {
            return Err(Failure::from(IdentityError::NobodyToAsk).hint(otherwise));
        }
        let mut failure = None;
        for _ in 0..3 {
            let first = self.ask(&format!("{what} (leave empty to have one made): "))?;
            if is_empty(&first) {
                let generated = generate()?;
                self.ui
                    .warn("this passphrase is shown once: keep it in a password manager");
                self.ui.warn(&format!("  {}", generated.expose_secret()));
                return Ok(generated);
            }
            if let Some(weakness) = weakness(&first) {
                self.ui.warn(&format!("that is easily guessed: {weakness}; once more"));
                failure = Some(("weak_passphrase", "the passphrase is easily guessed"));
                continue;
            }
            let second = self.ask("The same again: ")?;
            if first.expose_secret() == second.expose_secret() {
                return Ok(first);
            }
            self.ui.warn("they differ; once more");
            failure = Some(("passphrases_differ", "the two passphrases differ"));
        }
        let (code, message) = failure.expect("each round that does not return says why");
        Err(Failure::new(Exit::Vault, code, message).hint("nothing was changed; leave it empty to have ten words made"))
    }
}

/// A new passphrase that a script gives is the script's to choose, but a weak one is not taken without a word.
fn acceptable(ui: &Ui, passphrase: Passphrase) -> Result<Passphrase, Failure> {
    if is_empty(&passphrase) {
        return Err(Failure::new(Exit::Vault, "empty_passphrase", "the passphrase is empty"));
    }
    if let Some(weakness) = weakness(&passphrase) {
        ui.warn(&format!("the new passphrase is easily guessed: {weakness}"));
    }
    Ok(passphrase)
}

/// Why whoever has a copy of what it seals would soon have the passphrase too, if that can be seen from outside.
fn weakness(passphrase: &Passphrase) -> Option<String> {
    let text = passphrase.expose_secret();
    let count = text.chars().count();
    let advice = format!("take {FEWEST_CHARACTERS} characters at least, best several words");
    if count < FEWEST_CHARACTERS {
        let plural = if count == 1 { "" } else { "s" };
        return Some(format!("it has {count} character{plural}; {advice}"));
    }
    // No copy of a secret in a set: each character is looked for among those before it.
    let different = text
        .char_indices()
        .filter(|(position, character)| !text[..*position].contains(*character))
        .count();
    (different < FEWEST_DIFFERENT).then(|| format!("it repeats {different} characters; {advice}"))
}

fn unreadable(origin: &str, source: io::Error) -> IdentityError {
    IdentityError::PassphraseUnreadable {
        origin: origin.to_owned(),
        source,
    }
}

fn asked(answer: io::Result<SecretString>) -> Result<Passphrase, IdentityError> {
    answer.map_err(|source| match source.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => IdentityError::Interrupted,
        _ => unreadable("the terminal", source),
    })
}

fn generate() -> Result<Passphrase, Failure> {
    let words = Language::English.word_list();
    let mut text = Zeroizing::new(String::with_capacity(GENERATED_WORDS * 9));
    let mut random = [0_u8; GENERATED_WORDS * 2];
    getrandom::fill(&mut random).map_err(|_| crate::keys::RandomnessError)?;
    for pair in random.chunks_exact(2) {
        if !text.is_empty() {
            text.push('-');
        }
        // 2048 words divide 65,536 evenly, so no word is likelier than another.
        text.push_str(words[usize::from(u16::from_le_bytes([pair[0], pair[1]])) % words.len()]);
    }
    random.zeroize();
    Ok(SecretString::from(text.as_str().to_owned()))
}

/// The supplier as the vault asks it, with the terminal for plugins.
pub(super) struct Asker<'a> {
    pub(super) supplier: &'a Supplier,
}

impl Keyholder for Asker<'_> {
    fn unlocked(&self) -> Option<Zeroizing<String>> {
        if !self.supplier.is_unlocked() {
            return None;
        }
        let text = self.supplier.kept.take()?.read()?;
        std::str::from_utf8(&text)
            .ok()
            .map(|text| Zeroizing::new(text.to_owned()))
    }

    fn passphrase(&self, purpose: &PassphrasePurpose) -> Result<Passphrase, IdentityError> {
        match purpose {
            PassphrasePurpose::Vault => self.supplier.existing("the vault".to_owned(), "Vault passphrase"),
            PassphrasePurpose::IdentityFile(path) => {
                let shown = quoted::path(path);
                let question = format!("Passphrase of {shown}");
                self.supplier.existing(shown, &question)
            }
        }
    }

    fn callbacks(&self) -> Box<dyn PluginDialogue> {
        Box::new(TerminalDialogue {
            ui: self.supplier.ui.clone(),
            may_ask: self.supplier.may_ask,
            named: self.supplier.named.clone(),
        })
    }
}

struct TerminalDialogue {
    ui: Ui,
    may_ask: bool,
    named: String,
}

impl PluginDialogue for TerminalDialogue {
    fn show(&self, message: &str) {
        if self.may_ask {
            // A message that cannot be shown is no reason to fail: the plugin goes on.
            let _ = self.ui.with_the_screen(|| terminal::show_line(message));
        }
    }

    fn secret(&self, description: &str) -> Option<Passphrase> {
        self.may_ask
            .then(|| {
                let prompt = format!("{}{description}: ", self.named);
                self.ui.with_the_screen(|| terminal::ask_hidden(&prompt)).ok()
            })
            .flatten()
    }

    fn text(&self, description: &str) -> Option<String> {
        self.may_ask
            .then(|| {
                let prompt = format!("{}{description}: ", self.named);
                self.ui.with_the_screen(|| terminal::ask(&prompt)).ok()
            })
            .flatten()
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        let answer = self.text(&format!("{message} ({yes}/{no})"))?;
        Some(answer.eq_ignore_ascii_case(yes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_passphrase_has_ten_words_and_is_never_the_same() {
        let (one, other) = (generate().ok().unwrap(), generate().ok().unwrap());
        assert_eq!(one.expose_secret().split('-').count(), GENERATED_WORDS);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
