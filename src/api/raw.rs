//! Any call of the API, as a user asks for it: signed where it changes state, its body sent to the byte, its answer handed
//! back whatever its status.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;

use super::call::Call;
use super::client::{Client, Streamed};
use super::error::ApiError;
use super::login::CallError;
use super::user_action::{Access, Action};
use crate::model::effect::Effect;
use crate::model::operations;

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
    /// Whether it has to be signed: as the table of operations says, and where it does not know the call, whether its
    /// method changes state.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        match operations::find(self.method, self.path) {
            Some(operation) => operation.signed,
            None => self.is_no_reading(),
        }
    }

    /// Whether it may change anything at Dfns.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.is_no_reading() || self.is_signed()
    }

    fn is_no_reading(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// An answer, of any status, whose body is still coming.
pub struct RawAnswer(Streamed);

impl RawAnswer {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.response.status().as_u16()
    }

    /// Its headers, in their order.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.response.headers()
    }

    /// What the call has done, as far as the head of this answer says.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The next part of its body; none at its end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for as long as a request may take.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.0.chunk().await
    }
}

impl Client {
    /// Makes a call once: a second time may do a second thing.
    ///
    /// # Errors
    /// When it cannot be signed, or no answer comes. A status that is no success is an answer, not an error.
    pub async fn raw(&self, access: Access<'_>, call: RawCall<'_>) -> Result<RawAnswer, CallError> {
        self.forward(access, call, HeaderMap::new()).await
    }

    /// As [`Client::raw`], with headers of the caller's; those that every call has go before them.
    ///
    /// # Errors
    /// As [`Client::raw`].
    pub async fn forward(
        &self,
        access: Access<'_>,
        call: RawCall<'_>,
        headers: HeaderMap,
    ) -> Result<RawAnswer, CallError> {
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
            user_action: signed.as_ref().map(|signed| signed.user_action.expose_secret()),
            body: call.body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
            changes: call.changes(),
            ..access.call(method, &target)
        };
        Ok(RawAnswer(self.stream(&prepared, headers).await?))
    }
}
