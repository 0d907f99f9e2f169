//! People: one-time codes that register a key, and logging in with it.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::auth::{ORIGINS, check_assertion, object};
use super::judge::{JudgedKey, sha256};
use super::keys::{REGISTRATION, new_key, shown};
use super::request::{Request, check_fields, text};
use super::world::{Identity, Kind, SHORT_LIFE, UserChallenge, World};

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

fn user<'a>(world: &'a World, user_id: &str) -> Result<&'a Identity, Answer> {
    world
        .identities
        .iter()
        .find(|identity| identity.kind == Kind::User && identity.user_id == user_id && identity.active)
        .ok_or_else(|| Answer::error(401, "the user is unknown"))
}

pub(super) fn open_code(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(&["code", "credentialKind"], &[])?;
    if text(&fields, "credentialKind")? != "Key" {
        return Err(Answer::error(400, "credentialKind must be Key"));
    }
    let user_id = world
        .codes
        .get(text(&fields, "code")?)
        .filter(|code| code.born.elapsed() < SHORT_LIFE)
        .map(|code| code.user_id.clone())
        .ok_or_else(|| Answer::error(401, "the code is unknown, used or expired"))?;
    let name = user(world, &user_id)?.name.clone();
    let (challenge, identifier) = challenge(world, &user_id);
    Ok(Answer::json(&json!({
        "kind": "Key",
        "user": {"id": user_id, "name": name, "displayName": name},
        "challenge": challenge,
        "challengeIdentifier": identifier,
        "temporaryAuthenticationToken": identifier,
        "attestation": "direct",
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    })))
}

pub(super) fn register_by_code(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(REGISTRATION, &[])?;
    let (key, user_id) = new_key(world, &fields)?;
    world.codes.retain(|_, code| code.user_id != user_id);
    let identity = world
        .identities
        .iter_mut()
        .find(|identity| identity.user_id == user_id)
        .ok_or_else(|| Answer::error(401, "the user is unknown"))?;
    let mut answer = shown(&key);
    answer["name"] = text(&fields, "credentialName")?.into();
    identity.keys.push(key);
    Ok(Answer::json(&answer))
}

/// The new key must have signed the client data's hash together with itself.
pub(super) fn check_attestation(info: &Map<String, Value>, challenge: &str) -> Result<(String, JudgedKey), Answer> {
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

pub(super) fn init_login(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(&["orgId"], &["username", "loginCode"])?;
    if text(&fields, "orgId")? != world.organisation_id {
        return Err(Answer::error(401, "the organisation is unknown"));
    }
    let username = text(&fields, "username")?;
    let found = world
        .identities
        .iter()
        .find(|identity| identity.kind == Kind::User && identity.name == username && identity.active)
        .ok_or_else(|| Answer::error(401, "the user is unknown"))?;
    let user_id = found.user_id.clone();
    let keys: Vec<Value> = found
        .keys
        .iter()
        .filter(|key| key.active)
        .map(|key| json!({"type": "public-key", "id": key.id}))
        .collect();
    let (challenge, identifier) = challenge(world, &user_id);
    Ok(Answer::json(&json!({
        "challenge": challenge,
        "challengeIdentifier": identifier,
        "allowCredentials": {"key": keys, "webauthn": []},
        "supportedCredentialKinds": [{"kind": "Key", "factor": "first", "requiresSecondFactor": false}],
        "userVerification": "required",
        "attestation": "direct",
        "externalAuthenticationUrl": "",
    })))
}

pub(super) fn log_in(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(&["challengeIdentifier", "firstFactor"], &["secondFactor"])?;
    let opened = answered(world, &fields)?;
    let token_id = user(world, &opened.user_id)?.token_id.clone();
    check_assertion(world, &token_id, &opened.challenge, object(&fields, "firstFactor")?)?;
    let token = world.session(user(world, &opened.user_id)?);
    Ok(Answer::json(&json!({ "token": token })))
}
