//! A generation's key as it is written: its text, or an object that says where it is held.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::model::credential::{HeldReference, KeyMaterial};
use crate::model::secret::PrivateKeyPem;

/// It exists between serde and our own types only.
pub(super) struct KeyForm(pub(super) KeyMaterial);

impl Serialize for KeyForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            KeyMaterial::Sealed(pem) => serializer.serialize_str(pem.expose_secret()),
            KeyMaterial::Held(reference) => reference.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeyForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = KeyForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a private key, or where it is held")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyForm, E> {
                self.visit_string(text.to_owned())
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<KeyForm, E> {
                Ok(KeyForm(KeyMaterial::Sealed(PrivateKeyPem::new(Zeroizing::new(text)))))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<KeyForm, A::Error> {
                let reference = HeldReference::deserialize(MapAccessDeserializer::new(entries))?;
                Ok(KeyForm(KeyMaterial::Held(Box::new(reference))))
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_held_elsewhere_goes_round_and_a_sealed_one_stays_a_text() {
        let held = r#"{"uri":"hashivault://payments","public_key":"-----BEGIN PUBLIC KEY-----\n"}"#;
        for text in [held, r#""-----BEGIN PRIVATE KEY-----\n""#] {
            let form: KeyForm = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(form.0.held().is_some(), text == held);
            assert_eq!(serde_json::to_string(&form).unwrap(), text);
        }
        for wrong in [
            r#"{"uri":"hashivault://payments"}"#,
            r#"{"uri":"x:","public_key":""}"#,
            "7",
        ] {
            assert!(serde_json::from_str::<KeyForm>(wrong).is_err(), "{wrong}");
        }
    }
}
