//! Where a key is that never leaves there: a PKCS#11 token, AWS KMS, the transit engine of Vault or OpenBao, or what a plug-in
//! knows. The schemes are those of other signing tools; PKCS#11's is RFC 7512. There is never a secret in one, so that it can
//! stand in lists, logs and messages.

mod fields;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ids::CredentialName;
use super::quoted::shown;
use fields::{Field, Fields, encoded};

/// Why an address of a key was refused. Nothing of it is repeated but the names of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the address of the key, at character {}: {reason}", .position + 1)]
pub struct KeyUriError {
    /// Where, from 0.
    pub position: usize,
    /// Why.
    pub reason: String,
}

/// The address of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyUri {
    /// `pkcs11:token=T;object=O?module-path=/M`: an object of a token.
    Pkcs11(Pkcs11Uri),
    /// `awskms:///KEY?region=R`: a key of AWS KMS.
    AwsKms(AwsKmsUri),
    /// `hashivault://KEY`: a key of a transit engine.
    Hashivault(TransitUri),
    /// `plugin:NAME?k=v`: whatever `dfns-keys-signer-NAME` knows.
    Plugin(PluginUri),
}

/// An object of a PKCS#11 token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pkcs11Uri {
    /// The token's label.
    pub token: String,
    /// The token's serial number, where two have one label.
    pub serial: Option<String>,
    /// The object's label.
    pub object: Option<String>,
    /// The object's id.
    pub id: Option<Vec<u8>>,
    /// The module to load.
    pub module_path: String,
    /// The file that the PIN is in.
    pub pin_source: Option<String>,
}

/// A key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AwsKmsUri {
    /// Its id, its ARN, or `alias/NAME`.
    pub key: String,
    /// The region, where it is said.
    pub region: Option<String>,
}

/// A key of a transit engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransitUri {
    /// Its name.
    pub key: String,
    /// Where the engine is mounted, if not at `transit`.
    pub mount: Option<String>,
}

/// A key that a plug-in knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PluginUri {
    /// The plug-in.
    pub name: String,
    /// What it is told, sorted by name.
    pub parameters: Vec<(String, String)>,
}

const PKCS11: &str = "pkcs11:";
const AWS_KMS: &str = "awskms:///";
const HASHIVAULT: &str = "hashivault://";
const PLUGIN: &str = "plugin:";

impl FromStr for KeyUri {
    type Err = KeyUriError;

    fn from_str(text: &str) -> Result<Self, KeyUriError> {
        if text.len() > 2048 {
            return Err(refused(2048, "it is longer than 2048 characters"));
        }
        if let Some(position) = text.find(|c: char| !c.is_ascii_graphic()) {
            return Err(refused(
                position,
                "there stands a character that is to be percent-encoded",
            ));
        }
        for (scheme, read) in [
            (PKCS11, pkcs11 as fn(Fields<'_>) -> Result<Self, KeyUriError>),
            (AWS_KMS, aws_kms),
            (HASHIVAULT, hashivault),
            (PLUGIN, plugin),
        ] {
            if text.starts_with(scheme) {
                return read(Fields::of(text, scheme.len()));
            }
        }
        let begun = |scheme: &str| text.starts_with(scheme);
        Err(refused(
            0,
            if begun("awskms:") {
                "a key of AWS KMS is awskms:///KEY, with three slashes"
            } else if begun("hashivault:") {
                "a key of a transit engine is hashivault://KEY, with two slashes"
            } else {
                "it is to begin with pkcs11:, awskms:///, hashivault:// or plugin:"
            },
        ))
    }
}

fn pkcs11(fields: Fields<'_>) -> Result<KeyUri, KeyUriError> {
    let end = fields.end();
    let mut found = Pkcs11Uri {
        token: String::new(),
        serial: None,
        object: None,
        id: None,
        module_path: String::new(),
        pin_source: None,
    };
    for field in fields.path(';')? {
        match field.name.as_str() {
            "token" => found.token = field.text()?,
            "serial" => found.serial = Some(field.text()?),
            "object" => found.object = Some(field.text()?),
            "id" => found.id = Some(field.bytes()?),
            "type" if matches!(field.text()?.as_str(), "private" | "public") => {}
            _ => return Err(field.unknown("before the `?` stand token, serial, object and id")),
        }
    }
    for field in fields.query()? {
        match field.name.as_str() {
            "module-path" => {
                found.module_path = field.text()?;
                if !found.module_path.starts_with('/') {
                    return Err(field.refused("module-path is to be a whole path, from the root"));
                }
            }
            "pin-source" => found.pin_source = Some(pin_source(&field)?),
            "pin-value" => {
                return Err(field.refused(
                    "a PIN does not belong there, where lists and logs have it: pin-source=file:/PATH, DFNS_KEYS_PIN_FILE, or a terminal",
                ));
            }
            _ => return Err(field.unknown("behind the `?` stand module-path and pin-source")),
        }
    }
    if found.token.is_empty() {
        return Err(refused(end, "token=LABEL is missing"));
    }
    if found.object.is_none() && found.id.is_none() {
        return Err(refused(end, "object=LABEL is missing, or id=%01"));
    }
    if found.module_path.is_empty() {
        return Err(refused(
            end,
            "module-path=/PATH is missing: which PKCS#11 module to load",
        ));
    }
    Ok(KeyUri::Pkcs11(found))
}

/// `file:/PATH`, `file:///PATH`, or the path alone.
fn pin_source(field: &Field<'_>) -> Result<String, KeyUriError> {
    let text = field.text()?;
    let path = match text.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => &text,
    };
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(field.refused("pin-source is to be file:/PATH, whole; no program is run for a PIN"))
    }
}

fn aws_kms(fields: Fields<'_>) -> Result<KeyUri, KeyUriError> {
    let key = fields.whole()?;
    let name = key.text()?;
    let mut region = None;
    for field in fields.query()? {
        match field.name.as_str() {
            "region" => region = Some(field.text()?),
            _ => return Err(field.unknown("behind the `?` stands region")),
        }
    }
    let plain = |text: &str, others: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    let is_alias = |text: &str| {
        text.strip_prefix("alias/")
            .is_some_and(|alias| alias.len() <= 250 && plain(alias, "/_-"))
    };
    let is_id = |text: &str| text.len() <= 64 && plain(text, "-");
    if let Some(region) = &region
        && !plain(region, "-")
    {
        return Err(key.refused("region is to be one of AWS's, as eu-central-1"));
    }
    let parts: Vec<&str> = name.split(':').collect();
    match parts[..] {
        [one] if is_alias(one) || is_id(one) => {}
        ["arn", partition, "kms", of, account, resource]
            if plain(partition, "-")
                && plain(of, "-")
                && plain(account, "")
                && (is_alias(resource) || resource.strip_prefix("key/").is_some_and(is_id)) =>
        {
            if region.as_deref().is_some_and(|region| region != of) {
                return Err(key.refused("its ARN names another region than region="));
            }
            region = Some(of.to_owned());
        }
        _ => return Err(key.refused("it is to be a key's id, its ARN, or alias/NAME")),
    }
    Ok(KeyUri::AwsKms(AwsKmsUri { key: name, region }))
}

fn hashivault(fields: Fields<'_>) -> Result<KeyUri, KeyUriError> {
    let key = fields.whole()?;
    let name = key.text()?;
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 128
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if !is_name(&name) {
        return Err(key.refused("a transit key's name has letters, digits, `.`, `_` and `-`"));
    }
    let mut mount = None;
    for field in fields.query()? {
        match field.name.as_str() {
            "mount" => {
                let text = field.text()?;
                if !text.split('/').all(is_name) {
                    return Err(field.refused("mount is to be the path that the engine is mounted at"));
                }
                mount = Some(text).filter(|text| text != "transit");
            }
            _ => return Err(field.unknown("behind the `?` stands mount")),
        }
    }
    Ok(KeyUri::Hashivault(TransitUri { key: name, mount }))
}

fn plugin(fields: Fields<'_>) -> Result<KeyUri, KeyUriError> {
    let name = fields.whole()?;
    let text = name.text()?;
    if !super::target::is_plugin_name(&text) {
        return Err(name.refused("a plug-in's name has lower-case letters, digits, `.`, `_` and `-`"));
    }
    let mut parameters = Vec::new();
    for field in fields.query()? {
        parameters.push((field.name.clone(), field.text()?));
    }
    parameters.sort_unstable();
    Ok(KeyUri::Plugin(PluginUri { name: text, parameters }))
}

fn refused(position: usize, reason: &str) -> KeyUriError {
    KeyUriError {
        position,
        reason: reason.to_owned(),
    }
}

impl KeyUri {
    /// Where the key of a later generation goes: beside this one, under a name of its own. `attempt` is 1 at first, and more
    /// where that name is taken.
    #[must_use]
    pub fn next(&self, name: &CredentialName, generation: u32, attempt: u32) -> Self {
        let named = |base: &str| {
            let base = without_generation(base);
            match attempt {
                1 => format!("{base}-g{generation}"),
                _ => format!("{base}-g{generation}-{attempt}"),
            }
        };
        match self {
            Self::Pkcs11(key) => Self::Pkcs11(Pkcs11Uri {
                object: Some(named(key.object.as_deref().unwrap_or(name.as_str()))),
                id: None,
                ..key.clone()
            }),
            Self::AwsKms(key) => {
                let alias = key.key.rsplit(':').next().and_then(|last| last.strip_prefix("alias/"));
                let own = name.as_str().replace('.', "-");
                Self::AwsKms(AwsKmsUri {
                    key: format!("alias/{}", named(alias.unwrap_or(&own))),
                    region: key.region.clone(),
                })
            }
            Self::Hashivault(key) => Self::Hashivault(TransitUri {
                key: named(&key.key),
                mount: key.mount.clone(),
            }),
            Self::Plugin(key) => {
                let mut parameters = key.parameters.clone();
                match parameters.iter_mut().find(|(parameter, _)| parameter == "key") {
                    Some((_, value)) => *value = named(value),
                    None => parameters.push(("key".to_owned(), named(name.as_str()))),
                }
                parameters.sort_unstable();
                Self::Plugin(PluginUri {
                    name: key.name.clone(),
                    parameters,
                })
            }
        }
    }

    /// What it leads to, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Pkcs11(key) => {
                let object = match (&key.object, &key.id) {
                    (Some(object), _) => format!("the object `{}`", shown(object)),
                    (None, Some(id)) => format!("the object with the id {}", fields::hex(id)),
                    (None, None) => "the object".to_owned(),
                };
                format!("{object} of the token `{}`", shown(&key.token))
            }
            Self::AwsKms(key) => format!("the key `{}` of AWS KMS", shown(&key.key)),
            Self::Hashivault(key) => format!("the transit key `{}`", shown(&key.key)),
            Self::Plugin(key) => format!("the key of the plug-in `{}`", shown(&key.name)),
        }
    }
}

/// A label without the generation that `next` gave it.
fn without_generation(label: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match label.rsplit_once("-g") {
        Some((base, rest)) if !base.is_empty() => {
            let generation = rest
                .split_once('-')
                .map_or(digits(rest), |(one, two)| digits(one) && digits(two));
            if generation { base } else { label }
        }
        _ => label,
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pkcs11(key) => {
                write!(f, "{PKCS11}token={}", encoded(key.token.as_bytes()))?;
                if let Some(serial) = &key.serial {
                    write!(f, ";serial={}", encoded(serial.as_bytes()))?;
                }
                if let Some(object) = &key.object {
                    write!(f, ";object={}", encoded(object.as_bytes()))?;
                }
                if let Some(id) = &key.id {
                    let bytes = id.iter().map(|byte| format!("%{byte:02X}"));
                    write!(f, ";id={}", bytes.collect::<String>())?;
                }
                write!(f, "?module-path={}", encoded(key.module_path.as_bytes()))?;
                match &key.pin_source {
                    Some(path) => write!(f, "&pin-source=file:{}", encoded(path.as_bytes())),
                    None => Ok(()),
                }
            }
            Self::AwsKms(key) => {
                write!(f, "{AWS_KMS}{}", encoded(key.key.as_bytes()))?;
                match &key.region {
                    Some(region) if !key.key.starts_with("arn:") => write!(f, "?region={region}"),
                    _ => Ok(()),
                }
            }
            Self::Hashivault(key) => {
                write!(f, "{HASHIVAULT}{}", key.key)?;
                match &key.mount {
                    Some(mount) => write!(f, "?mount={mount}"),
                    None => Ok(()),
                }
            }
            Self::Plugin(key) => {
                write!(f, "{PLUGIN}{}", key.name)?;
                for (position, (name, value)) in key.parameters.iter().enumerate() {
                    let before = if position == 0 { '?' } else { '&' };
                    write!(f, "{before}{name}={}", encoded(value.as_bytes()))?;
                }
                Ok(())
            }
        }
    }
}

impl TryFrom<String> for KeyUri {
    type Error = KeyUriError;

    fn try_from(text: String) -> Result<Self, KeyUriError> {
        text.parse()
    }
}

impl From<KeyUri> for String {
    fn from(uri: KeyUri) -> Self {
        uri.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> KeyUri {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_shown_is_the_same_key() {
        for text in [
            "pkcs11:token=dfns;object=payments?module-path=/usr/lib/softhsm/libsofthsm2.so",
            "pkcs11:token=My%20token;serial=01ab;object=a%3Bb;id=%01%FF?module-path=/m.so&pin-source=file:/run/pin",
            "awskms:///alias/payments?region=eu-central-1",
            "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "hashivault://payments.v2",
            "hashivault://payments?mount=team/transit",
            "plugin:card?key=payments&slot=9c",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
        assert_eq!(
            uri("pkcs11:object=o;token=t?pin-source=file:///p&module-path=/m").to_string(),
            "pkcs11:token=t;object=o?module-path=/m&pin-source=file:/p"
        );
    }

    #[test]
    fn a_pin_in_an_address_is_refused_and_not_repeated() {
        let error = "pkcs11:token=t;object=o?module-path=/m&pin-value=867530"
            .parse::<KeyUri>()
            .unwrap_err();
        assert_eq!(error.position, 39);
        assert!(!error.to_string().contains("867530"), "{error}");
        assert!(error.to_string().contains("pin-source"), "{error}");
    }

    #[test]
    fn each_refusal_says_where_it_is() {
        for (text, position, words) in [
            ("", 0, "begin with"),
            ("file:/a", 0, "begin with"),
            ("awskms://key", 0, "three slashes"),
            ("hashivault:key", 0, "two slashes"),
            ("pkcs11:token=a b", 14, "percent-encoded"),
            ("pkcs11:token=t?module-path=/m", 29, "object=LABEL"),
            ("pkcs11:object=o?module-path=/m", 30, "token=LABEL"),
            ("pkcs11:token=t;object=o", 23, "module-path=/PATH"),
            ("pkcs11:token=t;colour=red;object=o?module-path=/m", 15, "`colour`"),
            ("pkcs11:token=t;token=u;object=o?module-path=/m", 15, "twice"),
            ("pkcs11:token=t;object?module-path=/m", 15, "NAME=VALUE"),
            ("pkcs11:token=t;object=?module-path=/m", 15, "empty"),
            ("pkcs11:token=t;object=%zz?module-path=/m", 15, "percent"),
            ("pkcs11:token=t;object=%ff?module-path=/m", 15, "UTF-8"),
            ("pkcs11:token=t;object=o?module-path=m.so", 24, "whole path"),
            (
                "pkcs11:token=t;object=o?module-path=/m&pin-source=|cat",
                39,
                "pin-source",
            ),
            ("awskms:///alias/", 10, "alias/NAME"),
            ("awskms:///a?colour=red", 12, "`colour`"),
            (
                "awskms:///arn:aws:kms:eu-west-1:1:key/a?region=us-east-1",
                10,
                "another region",
            ),
            ("hashivault://a/b", 13, "transit key's name"),
            ("plugin:../x", 7, "plug-in's name"),
        ] {
            let error = text.parse::<KeyUri>().unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_later_generation_has_a_name_of_its_own_beside_the_first() {
        let name = "payments.api".parse().unwrap();
        for (text, generation, attempt, expected) in [
            (
                "pkcs11:token=t;object=o;id=%01?module-path=/m&pin-source=file:/p",
                2,
                1,
                "pkcs11:token=t;object=o-g2?module-path=/m&pin-source=file:/p",
            ),
            (
                "pkcs11:token=t;id=%01?module-path=/m",
                2,
                1,
                "pkcs11:token=t;object=payments.api-g2?module-path=/m",
            ),
            ("hashivault://pay-g2", 3, 1, "hashivault://pay-g3"),
            ("hashivault://pay-g2-7", 3, 2, "hashivault://pay-g3-2"),
            ("hashivault://pay-gate", 2, 1, "hashivault://pay-gate-g2"),
            ("awskms:///alias/pay?region=r", 2, 1, "awskms:///alias/pay-g2?region=r"),
            (
                "awskms:///1234?region=r",
                2,
                1,
                "awskms:///alias/payments-api-g2?region=r",
            ),
            (
                "awskms:///arn:aws:kms:r:1:alias/pay",
                2,
                1,
                "awskms:///alias/pay-g2?region=r",
            ),
            ("plugin:card?key=pay&slot=9c", 2, 1, "plugin:card?key=pay-g2&slot=9c"),
            ("plugin:card", 2, 1, "plugin:card?key=payments.api-g2"),
        ] {
            assert_eq!(uri(text).next(&name, generation, attempt).to_string(), expected);
        }
    }
}
