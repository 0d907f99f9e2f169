//! Mending what pasting does to a PEM file: quotes, lost or written-out line breaks, base64 around the whole.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::pem::read_any_private_key;
use super::{KeyError, PrivateKey};

/// Reads a private key, mending what can be mended; with it comes the outermost wound, if it had one.
///
/// # Errors
/// What is wrong with it as it stands, where mending does not help.
pub fn read_mending(text: &str) -> Result<(PrivateKey, Option<KeyError>), KeyError> {
    let first = match read_any_private_key(text.as_bytes(), None) {
        Ok(pair) => return Ok((pair, None)),
        Err(error) => error,
    };
    let mut wound = first.clone();
    let mut text = Zeroizing::new(text.trim().to_owned());
    // Wounds come in layers: quotes around base64 around lost line breaks.
    for _ in 0..4 {
        text = match wound {
            KeyError::Quoted => Zeroizing::new(text.trim_matches(['"', '\'']).to_owned()),
            KeyError::NewLinesEscaped => Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n")),
            KeyError::NewLinesLost => match with_line_breaks(&text) {
                Some(mended) => mended,
                None => return Err(first),
            },
            KeyError::Base64OfPem | KeyError::NotPem => match decoded(&text) {
                Some(decoded) => decoded,
                None => return Err(first),
            },
            _ => return Err(if is_verdict(&wound) { wound } else { first }),
        };
        match read_any_private_key(text.as_bytes(), None) {
            Ok(pair) => return Ok((pair, Some(first))),
            Err(error) => wound = error,
        }
    }
    Err(first)
}

/// Whether an error tells what the file really holds, which is worth more than how it was pasted.
fn is_verdict(error: &KeyError) -> bool {
    matches!(
        error,
        KeyError::PublicKey
            | KeyError::Certificate
            | KeyError::UnusableRsa
            | KeyError::OtherCurve { .. }
            | KeyError::PassphraseNeeded
            | KeyError::EncryptedSec1
    )
}

fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut compact = Zeroizing::new(String::with_capacity(text.len()));
    compact.extend(
        text.trim_matches(['"', '\''])
            .chars()
            .filter(|c| !c.is_ascii_whitespace()),
    );
    let bytes = Zeroizing::new(Base64::decode_vec(&compact).ok()?);
    std::str::from_utf8(&bytes)
        .ok()
        .map(|text| Zeroizing::new(text.to_owned()))
}

fn with_line_breaks(text: &str) -> Option<Zeroizing<String>> {
    let start = text.find("-----BEGIN ")? + "-----BEGIN ".len();
    let label = text[start..].split("-----").next()?;
    let body_start = start + label.len() + "-----".len();
    let body_end = body_start + text.get(body_start..)?.find("-----END ")?;
    let mut mended = Zeroizing::new(String::with_capacity(text.len() * 2));
    for part in ["-----BEGIN ", label, "-----\n"] {
        mended.push_str(part);
    }
    let characters = text[body_start..body_end].chars().filter(|c| !c.is_ascii_whitespace());
    for (position, character) in characters.enumerate() {
        if position > 0 && position % 64 == 0 {
            mended.push('\n');
        }
        mended.push(character);
    }
    for part in ["\n-----END ", label, "-----\n"] {
        mended.push_str(part);
    }
    Some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::keys::pem::PrivateKeyFormat;
    use crate::model::user_action::Signer;

    #[test]
    fn each_wound_alone_and_in_layers_is_mended() {
        let pair = KeyPair::generate().unwrap();
        for format in [PrivateKeyFormat::Sec1, PrivateKeyFormat::Pkcs8] {
            let pem = pair.to_private_pem(format);
            let base64 = Base64::encode_string(pem.as_bytes());
            let one_line = pem.replace('\n', "");
            let cases = [
                (pem.to_string(), None),
                (one_line.clone(), Some(KeyError::NewLinesLost)),
                (pem.trim().replace('\n', " "), Some(KeyError::NewLinesLost)),
                (pem.replace('\n', "\\n"), Some(KeyError::NewLinesEscaped)),
                (pem.replace('\n', "\\r\\n"), Some(KeyError::NewLinesEscaped)),
                (format!("\"{}\"", *pem), Some(KeyError::Quoted)),
                (base64.clone(), Some(KeyError::Base64OfPem)),
                (format!("'{base64}'"), Some(KeyError::NotPem)),
                (
                    format!("\"{}\"", pem.replace('\n', "\\n")),
                    Some(KeyError::NewLinesEscaped),
                ),
                (Base64::encode_string(one_line.as_bytes()), Some(KeyError::Base64OfPem)),
            ];
            for (text, wound) in cases {
                let (read, found) = read_mending(&text).ok().unwrap_or_else(|| panic!("{wound:?}"));
                assert_eq!(Signer::public_key(&read), pair.public_key().to_text());
                assert_eq!(found, wound);
            }
        }
    }

    #[test]
    fn what_lies_under_a_wound_is_named() {
        let public = KeyPair::generate().unwrap().public_key().to_pem();
        let base64 = Base64::encode_string(public.as_bytes());
        assert_eq!(read_mending(&base64).err(), Some(KeyError::PublicKey));
        assert_eq!(read_mending("hello").err(), Some(KeyError::NotPem));
        assert_eq!(read_mending("").err(), Some(KeyError::Empty));
    }
}
