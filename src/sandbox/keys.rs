//! An identity's own keys: a second one registered, listed, activated and deactivated. The doctrine decides whether
//! service accounts and personal access tokens may.

use serde_json::{Value, json};

use super::Doctrine;
use super::answer::Answer;
use super::auth::{signed, token_id};
use super::identity::Identity;
use super::registration::{REGISTRATION, challenge, new_key, shown};
use super::request::{Request, text};
use super::world::World;
use crate::model::credential::Kind;

fn caller(world: &World, request: &Request) -> Result<String, Answer> {
    let token_id = token_id(world, request)?;
    let is_user = world
        .identity(&token_id)
        .is_some_and(|identity| identity.kind == Kind::User);
    if world.doctrine == Doctrine::Reference && !is_user {
        return Err(Answer::error(
            403,
            "service accounts and personal access tokens may not manage credentials",
        ));
    }
    Ok(token_id)
}

fn own<'a>(world: &'a mut World, token_id: &str) -> Result<&'a mut Identity, Answer> {
    world
        .identity_mut(token_id)
        .ok_or_else(|| Answer::error(401, "the token is revoked"))
}

pub(super) fn list(world: &World, request: &Request) -> Result<Answer, Answer> {
    let token_id = caller(world, request)?;
    let items: Vec<Value> = world
        .identity(&token_id)
        .map(|identity| identity.keys.iter().map(shown).collect())
        .unwrap_or_default();
    Ok(super::accounts::page(world, request, items))
}

pub(super) fn init(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let token_id = caller(world, request)?;
    let fields = request.json(&["kind"], &[])?;
    if text(&fields, "kind")? != "Key" {
        return Err(Answer::error(400, "kind must be Key"));
    }
    let user_id = own(world, &token_id)?.user_id.clone();
    let (challenge, identifier) = challenge(world, &user_id);
    Ok(Answer::json(&json!({
        "kind": "Key",
        "challenge": challenge,
        "challengeIdentifier": identifier,
        "attestation": "direct",
    })))
}

pub(super) fn register(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let fields = request.json(REGISTRATION, &[])?;
    let token_id = caller(world, request)?;
    signed(world, request)?;
    let (key, user_id) = new_key(world, &fields)?;
    let identity = own(world, &token_id)?;
    if identity.user_id != user_id {
        return Err(Answer::error(401, "the challenge is another identity's"));
    }
    let answer = shown(&key);
    // In front, so that a client which takes the first one blindly is found out.
    identity.keys.insert(0, key);
    Ok(Answer::json(&answer))
}

pub(super) fn switch(world: &mut World, request: &Request, active: bool) -> Result<Answer, Answer> {
    let fields = request.json(&["credentialUuid"], &[])?;
    let token_id = caller(world, request)?;
    signed(world, request)?;
    let uuid = text(&fields, "credentialUuid")?;
    let identity = own(world, &token_id)?;
    let key = identity
        .keys
        .iter_mut()
        .find(|key| key.uuid == uuid)
        .ok_or_else(|| Answer::error(404, "Not Found"))?;
    key.active = active;
    Ok(Answer::json(&json!({"message": "success"})))
}
