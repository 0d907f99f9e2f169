//! A refusal of Dfns's, turned into a diagnosis: which of the things that can be wrong is wrong.

use jiff::Timestamp;
use thiserror::Error;

use crate::api::{ApiError, SigningError};
use crate::model::credential::Environment;
use crate::model::ids::{CredentialId, OrganisationId};
use crate::model::quoted::suspicion;
use crate::model::token::Claims;
use crate::model::user_action::SignerError;

/// Why a token and a key were not accepted together.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Its claims say that it has ended.
    #[error("the token expired on {at}")]
    TokenExpired {
        /// When.
        at: Timestamp,
    },
    /// It belongs to another organisation than the user named.
    #[error("the token belongs to organisation {found}, not to {expected}")]
    OtherOrganisation {
        /// What the token says.
        found: OrganisationId,
        /// What the user said.
        expected: OrganisationId,
    },
    /// It names another address as the one that made it.
    #[error("the token was made by {issuer}, but {api_host} was asked")]
    OtherRegion {
        /// The token's issuer.
        issuer: String,
        /// Where we asked.
        api_host: String,
    },
    /// Dfns does not know it, or no longer.
    #[error("Dfns does not accept this token")]
    TokenRefused {
        /// What Dfns said.
        message: Option<String>,
    },
    /// The token is known, but may not do this.
    #[error("Dfns accepts this token, but does not let it sign")]
    NotAllowed {
        /// What Dfns said.
        message: Option<String>,
    },
    /// The identity has no key.
    #[error("the identity of this token has no key registered")]
    NoKeyRegistered,
    /// Another key is registered than the one here.
    #[error("Dfns does not accept this key for this token")]
    OtherKey {
        /// How many keys are registered.
        registered: usize,
        /// What Dfns said.
        message: Option<String>,
    },
    /// The credential we know is gone from the identity.
    #[error("the key is no longer registered for this token: credential {wanted} is not among its {registered}")]
    KeyGone {
        /// The one we know.
        wanted: CredentialId,
        /// How many there are.
        registered: usize,
    },
    /// The origin in the client data is not the application's.
    #[error("Dfns does not accept the origin {origin}")]
    OriginRefused {
        /// What was sent.
        origin: String,
        /// What Dfns said.
        message: String,
    },
    /// No refusal: the key did not sign.
    #[error(transparent)]
    Signer(SignerError),
    /// No refusal: Dfns could not be asked, or answered something unexpected.
    #[error(transparent)]
    Call(ApiError),
}

/// What can be said of a token without asking Dfns.
///
/// # Errors
/// When it has expired or belongs to another organisation.
pub fn check_claims(claims: &Claims, environment: &Environment, now: Timestamp) -> Result<(), Refusal> {
    if let Some(at) = claims.expires_at.filter(|at| *at <= now) {
        return Err(Refusal::TokenExpired { at });
    }
    match (&claims.organisation_id, &environment.organisation_id) {
        (Some(found), Some(expected)) if found != expected => Err(Refusal::OtherOrganisation {
            found: found.clone(),
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}

/// Tells what a failed signing means.
#[must_use]
pub fn diagnose(error: SigningError, claims: &Claims, environment: &Environment) -> Refusal {
    match error {
        SigningError::Challenge(ApiError::Refused {
            status: 401, message, ..
        }) => match other_region(claims, environment) {
            Some(refusal) => refusal,
            None => Refusal::TokenRefused { message },
        },
        SigningError::Challenge(ApiError::Refused {
            status: 403, message, ..
        }) => Refusal::NotAllowed { message },
        SigningError::Signature(ApiError::Refused {
            status: 400..=403,
            message: Some(message),
            ..
        }) if message.to_ascii_lowercase().contains("origin") => Refusal::OriginRefused {
            origin: environment.origin.to_string(),
            message,
        },
        SigningError::Signature(ApiError::Refused {
            status: 401 | 403,
            message,
            ..
        }) => Refusal::OtherKey { registered: 1, message },
        SigningError::NoneFits { tried, last } => Refusal::OtherKey {
            registered: tried,
            message: match last {
                ApiError::Refused { message, .. } => message,
                _ => None,
            },
        },
        SigningError::Signer(error) => Refusal::Signer(error),
        SigningError::NoKeys => Refusal::NoKeyRegistered,
        SigningError::KeyNotAmong { wanted, registered } => Refusal::KeyGone { wanted, registered },
        SigningError::Challenge(error) | SigningError::Signature(error) => Refusal::Call(error),
    }
}

/// A token that another region made is refused like a revoked one; its issuer tells them apart, where it is a URL.
fn other_region(claims: &Claims, environment: &Environment) -> Option<Refusal> {
    let issuer = claims.issuer.as_ref()?;
    let host = url::Url::parse(issuer).ok()?.host_str()?.to_owned();
    let ours = environment.api_url.host();
    let dfns = |host: &str| host.starts_with("api.") && host.contains("dfns");
    let told = dfns(&host) && host != ours && suspicion(issuer).is_none();
    told.then(|| Refusal::OtherRegion {
        issuer: host,
        api_host: ours.to_owned(),
    })
}
