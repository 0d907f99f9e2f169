//! A key on its way in: the challenge that it answers, and the proof that it signed it.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::auth::{ORIGINS, object};
use super::identity::RegisteredKey;
use super::judge::{JudgedKey, sha256};
use super::request::{check_fields, text};
use super::world::{SHORT_LIFE, UserChallenge, World};

pub(super) fn challenge(world: &mut World, user_id: &str) -> (String, String) {
    let challenge = world.mint.random_text(48);
    let identifier = world.mint.token(&json!({
        "challenge": challenge,
        "https://custom/app_metadata": {"orgId": world.organisation_id},
    }));
    world.user_challenges.retain(|_, one| one.born.elapsed() < SHORT_LIFE);
    world.user_challenges.insert(
        identifier.clone(),
        UserChallenge {
            user_id: user_id.to_owned(),
            challenge: challenge.clone(),
            born: std::time::Instant::now(),
        },
    );
    (challenge, identifier)
}

pub(super) fn answered(world: &mut World, fields: &Map<String, Value>) -> Result<UserChallenge, Answer> {
    world
        .user_challenges
        .remove(text(fields, "challengeIdentifier")?)
        .filter(|challenge| challenge.born.elapsed() < SHORT_LIFE)
        .ok_or_else(|| Answer::error(401, "the challenge is unknown, used or expired"))
}

pub(super) fn shown(key: &RegisteredKey) -> Value {
    json!({
        "kind": "Key",
        "credentialId": key.id,
        "credentialUuid": key.uuid,
        "isActive": key.active,
        "name": key.id,
        "publicKey": key.pem,
        "relyingPartyId": "",
        "origin": ORIGINS[0],
    })
}

/// The fields of a registration.
pub(super) const REGISTRATION: &[&str] = &[
    "challengeIdentifier",
    "credentialName",
    "credentialKind",
    "credentialInfo",
];

/// The key that a registration brings, checked, and the user whose challenge it answers.
pub(super) fn new_key(world: &mut World, fields: &Map<String, Value>) -> Result<(RegisteredKey, String), Answer> {
    if text(fields, "credentialKind")? != "Key" {
        return Err(Answer::error(400, "credentialKind must be Key"));
    }
    let opened = answered(world, fields)?;
    let info = object(fields, "credentialInfo")?;
    check_fields(info, &["credId", "clientData", "attestationData"], &[])?;
    let (pem, key) = check_attestation(info, &opened.challenge)?;
    let id = text(info, "credId")?.to_owned();
    let mut keys = world.identities.iter().flat_map(|identity| &identity.keys);
    if id.is_empty() || keys.any(|key| key.id == id) {
        return Err(Answer::error(400, "credId must be unique"));
    }
    Ok((world.registered(id, &pem, key), opened.user_id))
}

/// The new key must have signed the client data's hash together with itself.
fn check_attestation(info: &Map<String, Value>, challenge: &str) -> Result<(String, JudgedKey), Answer> {
    let decode = |name: &str| {
        Base64UrlUnpadded::decode_vec(text(info, name)?)
            .map_err(|_| Answer::error(400, &format!("{name} is not base64url without padding")))
    };
    let not_json = |_| Answer::error(400, "not JSON");
    let client_data = decode("clientData")?;
    let parsed: Value = serde_json::from_slice(&client_data).map_err(not_json)?;
    if parsed["type"] != "key.create" || parsed["challenge"] != challenge {
        return Err(Answer::error(401, "clientData has another type or challenge"));
    }
    if !parsed["origin"]
        .as_str()
        .is_some_and(|origin| ORIGINS.contains(&origin))
    {
        return Err(Answer::error(401, "the origin is not one of the application's"));
    }
    let Value::Object(attestation) = serde_json::from_slice(&decode("attestationData")?).map_err(not_json)? else {
        return Err(Answer::error(400, "attestationData is no object"));
    };
    check_fields(&attestation, &["publicKey", "signature"], &["algorithm"])?;
    let pem = text(&attestation, "publicKey")?;
    let key = JudgedKey::parse(pem).map_err(|reason| Answer::error(400, reason))?;
    let hash: Vec<String> = sha256(&client_data).iter().map(|byte| format!("{byte:02x}")).collect();
    // Byte for byte: keys in this order, no spaces.
    let fingerprint = format!(
        "{{\"clientDataHash\":\"{}\",\"publicKey\":{}}}",
        hash.concat(),
        Value::from(pem)
    );
    let signature = from_hex(text(&attestation, "signature")?)
        .ok_or_else(|| Answer::error(400, "the attestation's signature is not hex"))?;
    if key.accepts(fingerprint.as_bytes(), &signature) {
        Ok((pem.to_owned(), key))
    } else {
        Err(Answer::error(401, "the attestation's signature is invalid"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}
