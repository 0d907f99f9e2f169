//! The checks that ask Dfns, with as few requests as can be: the signed test call is two, and it answers them all.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::offline::Ground;
use super::report::{Check, CheckId, SubjectReport};
use super::subject::Subject;
use crate::api::{Access, Action, ApiError, Client, SigningError};
use crate::model::credential::Environment;
use crate::workflow::refusal::{Refusal, diagnose};

const ONLINE: [CheckId; 7] = [
    CheckId::ApiReachable,
    CheckId::ClockSkew,
    CheckId::TokenAccepted,
    CheckId::CredentialRegistered,
    CheckId::SignatureAccepted,
    CheckId::PublicKeyRegistered,
    CheckId::PermissionsGranted,
];

/// From here on a difference of clocks is worth a word.
const SKEW_WORTH_A_WORD: i64 = 60;

pub(super) fn skip_all(report: &mut SubjectReport, reason: &str) {
    for id in ONLINE {
        report.push(Check::skip(id, reason));
    }
}

pub(super) async fn check(
    _subject: &Subject,
    ground: Ground,
    client: &Client,
    now: Timestamp,
    report: &mut SubjectReport,
) {
    let (Some(api_url), Some(origin), Some(token), Some(key)) =
        (ground.api_url, ground.origin, ground.token, ground.key)
    else {
        skip_all(report, "not asked: address, origin, token or key is unusable");
        return;
    };
    let environment = Environment {
        api_url,
        origin,
        application_id: ground.application_id,
        organisation_id: None,
    };
    let access = Access {
        environment: &environment,
        token: &token,
        signer: &key,
        credential_id: ground.credential_id.as_ref(),
    };
    let began = Instant::now();
    let outcome = client.sign(access, Action::TEST_CALL).await;
    let took = began.elapsed();
    let host = environment.api_url.host();
    match outcome {
        Ok(signed) => {
            report.push(Check::pass(CheckId::ApiReachable, format!("{host} answers")));
            report.push(skew(signed.server_time, now));
            report.push(Check::pass(CheckId::TokenAccepted, "Dfns accepts the token"));
            report.push(Check::pass(
                CheckId::CredentialRegistered,
                match signed.registered_keys {
                    1 => format!("{}, the only key of this identity", signed.credential_id),
                    count => format!("{}, one of {count} keys of this identity", signed.credential_id),
                },
            ));
            report.push(
                Check::pass(
                    CheckId::SignatureAccepted,
                    "the signed test call was accepted, in 2 requests",
                )
                .took(took),
            );
            report.push(Check::pass(
                CheckId::PublicKeyRegistered,
                "follows from the accepted signature",
            ));
        }
        Err(error) => refused(error, access, took, now, report),
    }
    report.push(Check::skip(CheckId::PermissionsGranted, "no permission was expected"));
}

fn skew(server_time: Option<Timestamp>, now: Timestamp) -> Check {
    let id = CheckId::ClockSkew;
    let Some(server_time) = server_time else {
        return Check::skip(id, "the answer has no Date");
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

fn refused(error: SigningError, access: Access<'_>, took: Duration, now: Timestamp, report: &mut SubjectReport) {
    let host = access.environment.api_url.host().to_owned();
    let server_time = server_time(&error);
    let challenge_passed = !matches!(error, SigningError::Challenge(_));
    let refusal = diagnose(error, access.token.claims(), access.environment);
    let skip_rest = |report: &mut SubjectReport, ids: &[CheckId], why: &str| {
        for id in ids {
            report.push(Check::skip(*id, why));
        }
    };
    if let Refusal::Call(error) = &refusal
        && !challenge_passed
    {
        report.push(
            Check::fail(CheckId::ApiReachable, error.to_string())
                .hint("try again later; if it stays so, look at the address and at what stands between")
                .took(took)
                .blame_network(),
        );
        skip_rest(report, &ONLINE[1..6], "Dfns could not be asked");
        return;
    }
    report.push(Check::pass(CheckId::ApiReachable, format!("{host} answers")));
    report.push(skew(server_time, now));
    if !challenge_passed {
        report.push(Check::fail(CheckId::TokenAccepted, refusal.to_string()).took(took));
        skip_rest(report, &ONLINE[3..6], "the token is not accepted");
        return;
    }
    report.push(Check::pass(CheckId::TokenAccepted, "Dfns accepts the token"));
    match refusal {
        Refusal::NoKeyRegistered | Refusal::KeyGone { .. } => {
            report.push(Check::fail(CheckId::CredentialRegistered, refusal.to_string()));
            skip_rest(report, &ONLINE[4..6], "the key is not registered");
        }
        Refusal::Call(error) => {
            report.push(Check::pass(CheckId::CredentialRegistered, "a key is registered"));
            report.push(
                Check::fail(CheckId::SignatureAccepted, error.to_string())
                    .took(took)
                    .blame_network(),
            );
            skip_rest(report, &ONLINE[5..6], "the signature could not be tried");
        }
        refusal => {
            report.push(Check::pass(CheckId::CredentialRegistered, "a key is registered"));
            report.push(
                Check::fail(CheckId::SignatureAccepted, refusal.to_string())
                    .hint("the token may be another service account's, or the dashboard was given another public key")
                    .took(took),
            );
            skip_rest(report, &ONLINE[5..6], "the signature is not accepted");
        }
    }
}

fn server_time(error: &SigningError) -> Option<Timestamp> {
    match error {
        SigningError::Challenge(ApiError::Refused { server_time, .. })
        | SigningError::Signature(ApiError::Refused { server_time, .. })
        | SigningError::NoneFits {
            last: ApiError::Refused { server_time, .. },
            ..
        } => *server_time,
        _ => None,
    }
}
