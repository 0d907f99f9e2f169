//! The checks that ask Dfns, with as few requests as can be: the signed test call is two, and it answers most of them.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Expectations;
use super::checks::CheckId;
use super::offline::{Ground, UsableKey};
use super::report::{Check, SubjectReport};
use crate::api::{
    Access, Action, ApiError, CallError, Client, Registration, ServerClock, SignedAction, SigningError, UserSession,
};
use crate::keys::pem::public_fingerprint;
use crate::model::credential::Environment;
use crate::model::ids::{CredentialId, Username};
use crate::model::quoted;
use crate::workflow::refusal::{Refusal, diagnose};

/// From here on a difference of clocks is worth a word, in seconds.
const SKEW_WORTH_A_WORD: i64 = 60;

pub(super) async fn check(
    ground: &Ground,
    expectations: &Expectations,
    client: &Client,
    now: Timestamp,
    report: &mut SubjectReport,
) {
    if let Some(username) = &ground.username {
        return log_in(ground, username, client, report).await;
    }
    let Ground {
        api_url: Some(api_url),
        origin: Some(origin),
        token: Some(token),
        key: Some(key),
        credential_id,
        application_id,
        organisation_id: _,
        username: _,
    } = ground
    else {
        return report.skip_rest(&missing_ground(ground));
    };
    let environment = Environment {
        api_url: api_url.clone(),
        origin: origin.clone(),
        application_id: application_id.clone(),
        organisation_id: None,
    };
    let access = Access {
        environment: &environment,
        token,
        signer: &key.key,
        credential_id: credential_id.as_ref(),
    };
    let began = Instant::now();
    let clock = ServerClock::default();
    let outcome = client.sign_noting(access, Action::TEST_CALL, &clock).await;
    let took = began.elapsed();
    match outcome {
        Ok(signed) => {
            accepted(&signed, access, key, took, skew(&clock, now), report);
            report.push(permissions(expectations, access, &signed.credential_id, client).await);
        }
        Err(error) => {
            let registered = refused(error, access, took, skew(&clock, now), report);
            if registered == Registered::AnotherKey {
                report.push(registered_instead(access, client).await);
            }
            report.push(Check::skip(
                CheckId::PermissionsGranted,
                "the credential is not accepted",
            ));
        }
    }
}

/// A user is verified by logging in, which is two requests.
async fn log_in(ground: &Ground, username: &Username, client: &Client, report: &mut SubjectReport) {
    let (Some(api_url), Some(origin), Some(key), Some(organisation_id)) =
        (&ground.api_url, &ground.origin, &ground.key, &ground.organisation_id)
    else {
        return report.skip_rest("not asked: no usable address, origin, key or organisation");
    };
    let environment = Environment {
        api_url: api_url.clone(),
        origin: origin.clone(),
        application_id: ground.application_id.clone(),
        organisation_id: None,
    };
    let credential_id = ground.credential_id.as_ref();
    let session = UserSession::new(client, &environment, organisation_id, username, &key.key, credential_id);
    let began = Instant::now();
    let outcome = session.log_in().await;
    let took = began.elapsed();
    let host = environment.api_url.host();
    let network = |error: &CallError| match error.api_error() {
        Some(ApiError::Refused { .. }) | None => None,
        Some(error) => Some(unreachable(CheckId::ApiReachable, error).took(took)),
    };
    match outcome {
        Ok(()) => {
            report.push(Check::pass(CheckId::ApiReachable, format!("{host} answers")));
            report.skip_to(CheckId::TokenAccepted, "not looked at for users");
            report.skip_to(
                CheckId::CredentialRegistered,
                "a user logs in instead of having a token",
            );
            report.push(Check::pass(
                CheckId::CredentialRegistered,
                format!("a key of {username}"),
            ));
            report.push(Check::pass(CheckId::SignatureAccepted, format!("logged in as {username}")).took(took));
            report.push(Check::pass(CheckId::PublicKeyRegistered, "follows from the log-in"));
            report.skip_rest("not looked at for users");
        }
        Err(error) => {
            if let Some(check) = network(&error) {
                report.push(check);
                return report.skip_rest("Dfns could not be asked");
            }
            report.push(Check::pass(CheckId::ApiReachable, format!("{host} answers")));
            report.skip_to(CheckId::SignatureAccepted, "the log-in was refused");
            report.push(
                Check::fail(CheckId::SignatureAccepted, error.to_string())
                    .hint("the user or its key may be deactivated: enroll again")
                    .took(took),
            );
            report.skip_rest("the log-in was refused");
        }
    }
}

fn missing_ground(ground: &Ground) -> String {
    let parts = [
        ("address", ground.api_url.is_some()),
        ("origin", ground.origin.is_some()),
        ("token", ground.token.is_some()),
        ("key", ground.key.is_some()),
    ];
    let unusable: Vec<&str> = parts
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect();
    format!("not asked: no usable {}", unusable.join(", no usable "))
}

fn accepted(
    signed: &SignedAction,
    access: Access<'_>,
    key: &UsableKey,
    took: Duration,
    skew: Check,
    report: &mut SubjectReport,
) {
    report.push(answers(access));
    report.push(skew);
    report.push(Check::pass(CheckId::TokenAccepted, "Dfns accepts the token"));
    report.push(Check::pass(
        CheckId::CredentialRegistered,
        match signed.registered_keys {
            1 => format!("{}, the only key of this identity", signed.credential_id),
            count => format!("{}, one of {count} keys of this identity", signed.credential_id),
        },
    ));
    report.push(if key.mended {
        Check::fail(
            CheckId::SignatureAccepted,
            "not tried as it stands; with the mended key: accepted",
        )
        .hint("mend the key and all is well")
        .took(took)
    } else {
        Check::pass(CheckId::SignatureAccepted, "the signed test call was accepted").took(took)
    });
    report.push(Check::pass(
        CheckId::PublicKeyRegistered,
        "follows from the accepted signature",
    ));
}

fn answers(access: Access<'_>) -> Check {
    let url = &access.environment.api_url;
    let how = if url.is_plain_http() { "" } else { " over TLS" };
    Check::pass(CheckId::ApiReachable, format!("{} answers{how}", url.host()))
}

fn skew(clock: &ServerClock, now: Timestamp) -> Check {
    let id = CheckId::ClockSkew;
    let Some(server_time) = clock.first() else {
        return Check::skip(id, "the answer does not tell the time");
    };
    let seconds = now.as_second() - server_time.as_second();
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    if seconds.abs() < SKEW_WORTH_A_WORD {
        Check::pass(id, format!("within {} s", seconds.abs().max(1)))
    } else {
        Check::warn(id, format!("this machine's clock is {} s {way} Dfns's", seconds.abs()))
            .hint("set the clock (NTP): expiry is judged by it")
    }
}

/// Which key Dfns has, as far as a refusal tells.
#[derive(PartialEq, Eq)]
enum Registered {
    AnotherKey,
    Unknown,
}

fn refused(
    error: SigningError,
    access: Access<'_>,
    took: Duration,
    skew: Check,
    report: &mut SubjectReport,
) -> Registered {
    let challenge_refused = matches!(error, SigningError::Challenge(_));
    let refusal = diagnose(error, access.token.claims(), access.environment);
    if challenge_refused && let Refusal::Call(error) = &refusal {
        report.push(unreachable(CheckId::ApiReachable, error).took(took));
        report.skip_to(CheckId::PermissionsGranted, "Dfns could not be asked");
        return Registered::Unknown;
    }
    report.push(answers(access));
    report.push(skew);
    if challenge_refused {
        report.push(
            Check::fail(CheckId::TokenAccepted, with_message(&refusal))
                .hint(token_hint(&refusal))
                .took(took),
        );
        report.skip_to(CheckId::PermissionsGranted, "the token is not accepted");
        return Registered::Unknown;
    }
    report.push(Check::pass(CheckId::TokenAccepted, "Dfns accepts the token"));
    match &refusal {
        Refusal::NoKeyRegistered | Refusal::KeyGone { .. } => {
            report.push(
                Check::fail(CheckId::CredentialRegistered, refusal.to_string())
                    .hint("it was deleted or deactivated, or the credential id is another token's"),
            );
            report.skip_to(CheckId::PermissionsGranted, "the key is not registered");
            Registered::Unknown
        }
        Refusal::Signer(error) => {
            report.push(Check::pass(CheckId::CredentialRegistered, "a key is registered"));
            report.push(
                Check::fail(CheckId::SignatureAccepted, error.to_string()).hint("look where the private key is kept"),
            );
            report.skip_to(CheckId::PermissionsGranted, "the signature could not be tried");
            Registered::Unknown
        }
        Refusal::Call(error) => {
            report.push(Check::pass(CheckId::CredentialRegistered, "a key is registered"));
            report.push(unreachable(CheckId::SignatureAccepted, error).took(took));
            report.skip_to(CheckId::PermissionsGranted, "the signature could not be tried");
            Registered::Unknown
        }
        _ => {
            report.push(Check::pass(CheckId::CredentialRegistered, "a key is registered"));
            let hint = match &refusal {
                Refusal::OriginRefused { .. } => "set the origin of the application that the token was made for",
                _ => "the token may be another account's, or the dashboard was given another public key",
            };
            report.push(
                Check::fail(CheckId::SignatureAccepted, with_message(&refusal))
                    .hint(hint)
                    .took(took),
            );
            Registered::AnotherKey
        }
    }
}

fn token_hint(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OtherRegion { .. } => "take the address of the region where the token was made",
        Refusal::NotAllowed { .. } => "look at the account's permissions in the dashboard",
        _ => "it may be revoked, deactivated, or of another region: look at it in the dashboard",
    }
}

fn with_message(refusal: &Refusal) -> String {
    let message = match refusal {
        Refusal::TokenRefused { message } | Refusal::NotAllowed { message } | Refusal::OtherKey { message, .. } => {
            message.as_deref()
        }
        Refusal::OriginRefused { message, .. } => Some(message.as_str()),
        Refusal::TokenExpired { .. }
        | Refusal::OtherOrganisation { .. }
        | Refusal::OtherRegion { .. }
        | Refusal::NoKeyRegistered
        | Refusal::KeyGone { .. }
        | Refusal::Signer(_)
        | Refusal::Call(_) => None,
    };
    match message {
        Some(message) => format!("{refusal} (it says: \"{message}\")"),
        None => refusal.to_string(),
    }
}

fn unreachable(id: CheckId, error: &ApiError) -> Check {
    let (message, hint) = match error {
        ApiError::Unreachable { reason, .. } if !reason.is_empty() => (
            format!("{error} ({reason})"),
            "look at the address, the network, and what stands between",
        ),
        ApiError::RateLimited { .. } => (
            error.to_string(),
            "the organisation's limit is used up: try again in a minute",
        ),
        ApiError::NotDfns { .. } | ApiError::Redirected { .. } => (
            error.to_string(),
            "a proxy or captive portal may be in between, or the address is another service's",
        ),
        ApiError::Setup { .. } => (
            error.to_string(),
            "this is of this machine, not of Dfns or the credential",
        ),
        _ => (error.to_string(), "try again later"),
    };
    Check::fail(id, message).hint(hint).blame_network()
}

/// Which key is registered, now that it is known not to be ours: worth two requests more.
async fn registered_instead(access: Access<'_>, client: &Client) -> Check {
    let id = CheckId::PublicKeyRegistered;
    let began = Instant::now();
    let Some(credential_id) = access.credential_id else {
        return Check::skip(id, "without a credential id there is no telling which key to look up");
    };
    let check = match client.registration(access, credential_id).await {
        Ok(Some(Registration { public_key, .. })) => match public_fingerprint(public_key.as_bytes()) {
            Ok(registered) => Check::fail(id, format!("the key registered for {credential_id} is {registered}"))
                .hint("find the private key with this fingerprint, or register this one"),
            Err(error) => Check::skip(id, format!("the registered key {error}")),
        },
        Ok(None) => Check::skip(id, "the token is not among those it may list"),
        Err(error) => Check::skip(id, format!("it cannot be looked up: {error}")),
    };
    check.took(began.elapsed())
}

async fn permissions(
    expectations: &Expectations,
    access: Access<'_>,
    credential_id: &CredentialId,
    client: &Client,
) -> Check {
    let id = CheckId::PermissionsGranted;
    if expectations.permissions.is_empty() {
        return Check::skip(id, "no permission was expected");
    }
    let began = Instant::now();
    let check = match client.registration(access, credential_id).await {
        Ok(Some(registration)) => {
            let missing: Vec<String> = expectations
                .permissions
                .iter()
                .filter(|wanted| !registration.operations.contains(*wanted))
                .cloned()
                .collect();
            if missing.is_empty() {
                Check::pass(id, format!("granted: {}", quoted::listed(&expectations.permissions)))
            } else {
                Check::fail(id, format!("not granted: {}", quoted::listed(&missing)))
                    .hint("assign a permission with these operations in the dashboard")
            }
        }
        Ok(None) => Check::warn(
            id,
            "the token is not among those it may list, so its permissions are unknown",
        ),
        Err(error @ ApiError::Refused { .. }) => Check::warn(id, format!("its permissions cannot be read: {error}"))
            .hint("an account needs Auth:ServiceAccounts:Read to look at itself"),
        Err(error) => unreachable(id, &error),
    };
    check.took(began.elapsed())
}
