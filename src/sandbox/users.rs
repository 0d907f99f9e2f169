//! People: one-time codes that register a key, and logging in with it.

use serde_json::json;

use super::answer::Answer;
use super::auth::{check_assertion, object};
use super::identity::Identity;
use super::registration::{REGISTRATION, answered, challenge, new_key, shown};
use super::request::{Request, text};
use super::world::{SHORT_LIFE, World};
use crate::model::credential::Kind;

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
    let (challenge, identifier) = challenge(world, &user_id);
    let shown = user(world, &user_id)?.challenged(&challenge, &identifier);
    Ok(Answer::json(&shown))
}

pub(super) fn log_in(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(&["challengeIdentifier", "firstFactor"], &["secondFactor"])?;
    let opened = answered(world, &fields)?;
    let token_id = user(world, &opened.user_id)?.token_id.clone();
    check_assertion(world, &token_id, &opened.challenge, object(&fields, "firstFactor")?)?;
    let token = world.session(user(world, &opened.user_id)?);
    Ok(Answer::json(&json!({ "token": token })))
}
