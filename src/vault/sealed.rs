//! Sealing and opening with age (<https://age-encryption.org/v1>), armored.

use std::io::Write;
use std::iter;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

use crate::model::secret::Passphrase;
use crate::sys::files::read_limited;

/// log2 of scrypt's N. Pinned: left alone the age crate times one run, and a busy machine would write a weaker file.
const WORK_FACTOR: u8 = 18;
/// The largest work factor we agree to: a few seconds. More is somebody keeping us busy.
const MAX_WORK_FACTOR: u8 = 20;
/// No sealed part comes near this size.
const PLAINTEXT_LIMIT: u64 = 4 * 1024 * 1024;

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
    let identities = identities.iter().map(|identity| -> &dyn age::Identity { &**identity });
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(ciphertext))?;
    Ok(read_limited(decryptor.decrypt(identities)?, PLAINTEXT_LIMIT)?)
}

pub(super) fn open_with_passphrase(
    ciphertext: &[u8],
    passphrase: &Passphrase,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(ciphertext))?;
    let reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity))?;
    Ok(read_limited(reader, PLAINTEXT_LIMIT)?)
}

pub(super) fn is_passphrase_sealed(ciphertext: &[u8]) -> bool {
    Decryptor::new_buffered(ArmoredReader::new(ciphertext)).is_ok_and(|decryptor| decryptor.is_scrypt())
}
