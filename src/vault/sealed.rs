//! Sealing and opening with age (<https://age-encryption.org/v1>), armored. What others wrote is held to limits before the
//! age crate works on it.

use std::io::{self, Write};
use std::iter;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

use crate::model::secret::Passphrase;
use crate::sys::files::read_limited;
use crate::sys::panics::contained;

/// log2 of scrypt's N. Pinned: left alone the age crate times one run, and a busy machine would write a weaker file.
const WORK_FACTOR: u8 = 18;
/// The largest work factor we agree to: 256 MiB of memory, and a second or two. The next one takes twice that.
pub(super) const MOST_WORK: u8 = WORK_FACTOR;
/// The largest is a key object that knows ten thousand files of version 1.
const PLAINTEXT_LIMIT: u64 = 4 * 1024 * 1024;
/// Armored or not, no age file that is read here comes near this size.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;
/// The age crate parses a header anew for each of its lines, and tries each stanza with each identity: more lines than for
/// so many recipients are refused before it sees one. A post-quantum stanza takes 1.5 KiB in two lines.
pub(super) const MOST_RECIPIENTS: usize = 256;
/// The first line of armor.
const BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const MOST_HEADER_LINES: usize = 4 * MOST_RECIPIENTS;
const HEADER_LIMIT: usize = 2048 * MOST_RECIPIENTS;

pub(super) fn seal(plaintext: &[u8], recipients: &[Box<dyn age::Recipient + Send>]) -> Result<String, EncryptError> {
    let recipients = recipients
        .iter()
        .map(|recipient| -> &dyn age::Recipient { &**recipient });
    encrypt(plaintext, Encryptor::with_recipients(recipients)?)
}

pub(super) fn seal_with_passphrase(plaintext: &[u8], passphrase: &Passphrase) -> Result<String, EncryptError> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK_FACTOR);
    encrypt(
        plaintext,
        Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))?,
    )
}

fn encrypt(plaintext: &[u8], encryptor: Encryptor) -> Result<String, EncryptError> {
    let armored = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armored)?;
    writer.write_all(plaintext)?;
    let bytes = writer.finish()?.finish()?;
    Ok(String::from_utf8(bytes).expect("armor is ASCII"))
}

pub(super) fn open(
    ciphertext: &[u8],
    identities: &[Box<dyn age::Identity + Send + Sync>],
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let file = Checked::read(ciphertext)?;
    let identities = identities.iter().map(|identity| -> &dyn age::Identity { &**identity });
    // An identity of another's making (RSA with numbers that are no primes) may fail in ways that nobody foresaw.
    contained(|| file.decrypt(identities)).unwrap_or_else(|| Err(refused("the age library fails on it")))
}

pub(super) fn open_with_passphrase(
    ciphertext: &[u8],
    passphrase: &Passphrase,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let file = Checked::read(ciphertext)?;
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MOST_WORK);
    file.decrypt(iter::once(&identity as &dyn age::Identity))
}

/// Whether contents are an age file, armored or not.
pub(super) fn is_age_file(contents: &[u8]) -> bool {
    contents.starts_with(b"age-encryption.org/") || contents.trim_ascii_start().starts_with(BEGIN)
}

/// Whether contents are an age file that a passphrase opens.
pub(super) fn is_passphrase_sealed(contents: &[u8]) -> Result<bool, DecryptError> {
    if !is_age_file(contents) {
        return Ok(false);
    }
    let checked = Checked::read(contents)?;
    Ok(Decryptor::new_buffered(&checked.0[..])?.is_scrypt())
}

/// An age file, out of its armor, whose header keeps within the limits.
struct Checked(Zeroizing<Vec<u8>>);

impl Checked {
    fn read(ciphertext: &[u8]) -> Result<Self, DecryptError> {
        // White space may stand around the armor.
        let ciphertext = match ciphertext.trim_ascii_start() {
            armored if armored.starts_with(BEGIN) => armored,
            _ => ciphertext,
        };
        let bytes = read_limited(ArmoredReader::new(ciphertext), FILE_LIMIT)?;
        let mut length = 0;
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            length += line.len();
            if number >= MOST_HEADER_LINES || length > HEADER_LIMIT {
                return Err(refused("its header is larger than one for 256 recipients"));
            }
            if line.starts_with(b"---") {
                break;
            }
        }
        Ok(Self(bytes))
    }

    fn decrypt<'a>(
        &self,
        identities: impl Iterator<Item = &'a dyn age::Identity>,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let reader = Decryptor::new_buffered(&self.0[..])?.decrypt(identities)?;
        Ok(read_limited(reader, PLAINTEXT_LIMIT)?)
    }
}

fn refused(reason: &'static str) -> DecryptError {
    DecryptError::Io(io::Error::new(io::ErrorKind::InvalidData, reason))
}
