//! Who calls and what was signed: tokens, User Action Signing, and a call to use them on.

use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::judge::sha256;
use super::request::{Request, check_fields, text};
use super::world::{BoundAction, Challenge, SHORT_LIFE, SignedAction, World};

/// The origins that this organisation's applications have.
pub(super) const ORIGINS: [&str; 1] = ["https://app.dfns.io"];

/// Who calls: the id of a token that is genuine, alive and active.
pub(super) fn token_id(world: &World, request: &Request) -> Result<String, Answer> {
    let refuse = |message: &str| Answer::error(401, message);
    let header = request
        .header("authorization")
        .ok_or_else(|| refuse("no authorization header"))?;
    let token = header
        .strip_prefix("Bearer ")
        .ok_or_else(|| refuse("the authorization header is malformed"))?;
    let claims = world.mint.claims(token).ok_or_else(|| refuse("the token is invalid"))?;
    let token_id = ["jti", "sandbox"]
        .iter()
        .find_map(|claim| claims[*claim].as_str())
        .ok_or_else(|| refuse("the token is invalid"))?;
    let identity = world.identity(token_id).ok_or_else(|| refuse("the token is revoked"))?;
    let session_ended = claims["exp"].as_i64().is_some_and(|exp| exp <= world.now().as_second());
    if session_ended || identity.expires_at <= world.now() {
        return Err(refuse("the token has expired"));
    }
    if !identity.active {
        return Err(refuse("the token is deactivated"));
    }
    if request.header("x-dfns-appid").is_some_and(str::is_empty) {
        return Err(Answer::error(400, "X-DFNS-APPID is empty"));
    }
    Ok(token_id.to_owned())
}

pub(super) fn init_action(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let token_id = token_id(world, request)?;
    let fields = request.json(
        &["userActionPayload", "userActionHttpMethod", "userActionHttpPath"],
        &["userActionServerKind"],
    )?;
    let method = text(&fields, "userActionHttpMethod")?;
    if !["POST", "PUT", "DELETE", "GET"].contains(&method) {
        return Err(Answer::error(
            400,
            "userActionHttpMethod is none of POST, PUT, DELETE, GET",
        ));
    }
    let path = text(&fields, "userActionHttpPath")?;
    if !path.starts_with('/') || path.contains('?') {
        return Err(Answer::error(400, "userActionHttpPath must be a path without a query"));
    }
    if let Some(kind) = fields.get("userActionServerKind")
        && kind != "Api"
    {
        return Err(Answer::error(400, "userActionServerKind must be Api"));
    }
    let action = BoundAction {
        method: method.to_owned(),
        path: path.to_owned(),
        payload_hash: sha256(text(&fields, "userActionPayload")?.as_bytes()),
    };
    let challenge = world.mint.random_text(48);
    let identifier = world.mint.token(&json!({"challenge": challenge}));
    let identity = world.identity(&token_id);
    let shown = identity.map(|identity| identity.challenged(&challenge, &identifier));
    world
        .challenges
        .retain(|_, challenge| challenge.born.elapsed() < SHORT_LIFE);
    world.challenges.insert(
        identifier,
        Challenge {
            token_id,
            challenge,
            action,
            born: std::time::Instant::now(),
        },
    );
    Ok(Answer::json(&shown.unwrap_or_default()))
}

pub(super) fn sign_action(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    let token_id = token_id(world, request)?;
    let fields = request.json(&["challengeIdentifier", "firstFactor"], &["secondFactor"])?;
    let identifier = text(&fields, "challengeIdentifier")?;
    // Answered once, rightly or wrongly.
    let challenge = world
        .challenges
        .remove(identifier)
        .filter(|challenge| challenge.token_id == token_id && challenge.born.elapsed() < SHORT_LIFE)
        .ok_or_else(|| Answer::error(401, "the challenge is unknown, used or expired"))?;
    let factor = object(&fields, "firstFactor")?;
    check_assertion(world, &token_id, &challenge.challenge, factor)?;
    let user_action = world.mint.token(&json!({"userAction": world.mint.random_text(32)}));
    world.actions.retain(|_, action| action.born.elapsed() < SHORT_LIFE);
    world.actions.insert(
        user_action.clone(),
        SignedAction {
            token_id,
            action: challenge.action,
            born: std::time::Instant::now(),
        },
    );
    Ok(Answer::json(&json!({"userAction": user_action})))
}

pub(super) fn object<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Map<String, Value>, Answer> {
    fields
        .get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| Answer::error(400, &format!("{name} must be an object")))
}

pub(super) fn check_assertion(
    world: &World,
    token_id: &str,
    challenge: &str,
    factor: &Map<String, Value>,
) -> Result<(), Answer> {
    check_fields(factor, &["kind", "credentialAssertion"], &[])?;
    if text(factor, "kind")? != "Key" {
        return Err(Answer::error(400, "kind must be Key"));
    }
    let assertion = object(factor, "credentialAssertion")?;
    check_fields(assertion, &["credId", "clientData", "signature"], &["algorithm"])?;
    let decode = |name: &str| {
        Base64UrlUnpadded::decode_vec(text(assertion, name)?)
            .map_err(|_| Answer::error(400, &format!("{name} is not base64url without padding")))
    };
    let (client_data, signature) = (decode("clientData")?, decode("signature")?);
    let parsed: Value =
        serde_json::from_slice(&client_data).map_err(|_| Answer::error(400, "clientData is not JSON"))?;
    if parsed["type"] != "key.get" {
        return Err(Answer::error(400, "clientData has another type than key.get"));
    }
    if parsed["challenge"] != challenge {
        return Err(Answer::error(401, "clientData has another challenge"));
    }
    if let Some(origin) = parsed["origin"].as_str()
        && !ORIGINS.contains(&origin)
    {
        return Err(Answer::error(401, "the origin is not one of the application's"));
    }
    let id = text(assertion, "credId")?;
    let key = world
        .identity(token_id)
        .and_then(|identity| identity.keys.iter().find(|key| key.id == id && key.active))
        .ok_or_else(|| Answer::error(401, "the credential is not one of this identity's"))?;
    if key.key.accepts(&client_data, &signature) {
        Ok(())
    } else {
        Err(Answer::error(401, "the signature is invalid"))
    }
}

/// Uses up the user action that allows this very call.
pub(super) fn signed(world: &mut World, request: &Request) -> Result<String, Answer> {
    let token_id = token_id(world, request)?;
    let missing = || Answer::error(403, "user action signature is missing or invalid");
    let user_action = request.header("x-dfns-useraction").ok_or_else(missing)?;
    if world.used_actions.contains(user_action) {
        return Err(Answer::error(400, "user action has already been used"));
    }
    let action = world.actions.remove(user_action).ok_or_else(missing)?;
    world.used_actions.insert(user_action.to_owned());
    let wanted = BoundAction {
        method: request.method.clone(),
        path: request.path.clone(),
        payload_hash: sha256(&request.body),
    };
    if action.token_id == token_id && action.action == wanted && action.born.elapsed() < SHORT_LIFE {
        if world
            .approvals
            .iter()
            .any(|path| request.path.starts_with(path.as_str()))
        {
            return Err(Answer::new(
                202,
                "application/json",
                br#"{"status":"Pending"}"#.to_vec(),
            ));
        }
        Ok(token_id)
    } else {
        Err(missing())
    }
}

pub(super) fn create_wallet(world: &mut World, request: &Request) -> Result<Answer, Answer> {
    signed(world, request)?;
    let fields = request.json(&["network"], &["name", "externalId", "tags"])?;
    let network = text(&fields, "network")?;
    // What the vendor's SDKs, some of them strict, expect of a wallet.
    Ok(Answer::json(&json!({
        "id": world.id("wa"),
        "network": network,
        "name": fields.get("name"),
        "status": "Active",
        "signingKey": {"id": world.id("key"), "scheme": "ECDSA", "curve": "secp256k1", "publicKey": ""},
        "dateCreated": Timestamp::now().to_string(),
        "custodial": true,
        "tags": [],
    })))
}
