//! `.env` files. A value in single quotes with real line breaks is exact in python-dotenv, npm dotenv, `node --env-file`
//! and bash; none of our values has a single quote in it (PEM, base64url, addresses, ids).

use zeroize::Zeroizing;

use super::{KEY_ENCODING, base64, room_for};

type Variables = [(&'static str, Zeroizing<String>)];

fn length(variables: &Variables) -> usize {
    variables
        .iter()
        .map(|(name, value)| name.len() + value.len() * 2 + 48)
        .sum()
}

/// `NAME='value'`, over as many lines as the value has.
pub(super) fn quoted(variables: &Variables) -> Zeroizing<String> {
    let mut text = room_for(length(variables));
    for (name, value) in variables {
        for part in [name, "='", value.as_str(), "'\n"] {
            text.push_str(part);
        }
    }
    text
}

/// `NAME=value`, one line each: docker takes everything behind `=` as it stands, quotes too. The key, which has line breaks,
/// is in base64, and a variable of its own tells its readers to decode it.
pub(super) fn one_line_each(variables: &Variables) -> Zeroizing<String> {
    let mut text = room_for(length(variables));
    for (name, value) in variables {
        let encoded = value.contains('\n').then(|| base64(value));
        for part in [name, "=", encoded.as_ref().unwrap_or(value).as_str(), "\n"] {
            text.push_str(part);
        }
        if encoded.is_some() {
            for part in [KEY_ENCODING, "=base64\n"] {
                text.push_str(part);
            }
        }
    }
    text
}
