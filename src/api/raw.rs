//! Any call of the API, as a user asks for it: signed where it changes state, its body sent to the byte, its answer handed
//! back whatever its status.

use reqwest::Method;
use secrecy::ExposeSecret;

use super::client::{Call, Client};
use super::error::ApiError;
use super::login::CallError;
use super::user_action::{Access, Action};

/// A call to be made.
#[derive(Debug, Clone, Copy)]
pub struct RawCall<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// What follows the `?`, encoded; empty for none.
    pub query: &'a str,
    /// The body, which is signed and sent byte for byte.
    pub body: Option<&'a str>,
}

impl RawCall<'_> {
    /// Whether it changes state, so that it has to be signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// An answer, of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Makes a call once: a second time may do a second thing.
    ///
    /// # Errors
    /// When it is not signed, or no whole answer comes. A status that is no success is an answer, not an error.
    pub async fn raw(&self, access: Access<'_>, call: RawCall<'_>) -> Result<RawAnswer, CallError> {
        let signed = if call.is_signed() {
            let action = Action {
                method: call.method,
                path: call.path,
                payload: call.body.unwrap_or_default(),
            };
            Some(self.sign(access, action).await.map_err(CallError::Signing)?)
        } else {
            None
        };
        let target = if call.query.is_empty() {
            call.path.to_owned()
        } else {
            format!("{}?{}", call.path, call.query)
        };
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| ApiError::Setup {
            reason: "the method has characters that HTTP does not allow".to_owned(),
        })?;
        let prepared = Call {
            api_url: &access.environment.api_url,
            method,
            target: &target,
            token: Some(access.token),
            application_id: access.environment.application_id.as_ref(),
            user_action: signed.as_ref().map(|signed| signed.user_action.expose_secret()),
            body: call.body.map(|body| body.as_bytes().to_vec()),
        };
        let (status, headers, body) = self.exchange(&prepared).await?;
        Ok(RawAnswer {
            status: status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body,
        })
    }
}
