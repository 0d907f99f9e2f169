//! One request, and what it has done when its answer is missing.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};

use crate::model::credential::Environment;
use crate::model::effect::Effect;
use crate::model::ids::ApplicationId;
use crate::model::token::AuthToken;
use crate::model::url::ApiUrl;

/// One request, ready to be sent.
pub(super) struct Call<'a> {
    pub(super) api_url: &'a ApiUrl,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) token: Option<&'a AuthToken>,
    pub(super) application_id: Option<&'a ApplicationId>,
    pub(super) user_action: Option<&'a str>,
    pub(super) body: Option<Bytes>,
    /// Whether it changes anything at Dfns. A challenge or a log-in does not, though it is a `POST`.
    pub(super) changes: bool,
}

impl<'a> Call<'a> {
    /// One that nobody signed, without a body: it changes nothing.
    pub(super) fn new(
        environment: &'a Environment,
        token: Option<&'a AuthToken>,
        method: Method,
        target: &'a str,
    ) -> Self {
        Self {
            api_url: &environment.api_url,
            method,
            target,
            token,
            application_id: environment.application_id.as_ref(),
            user_action: None,
            body: None,
            changes: false,
        }
    }

    /// What it has done if it was sent and no answer came.
    pub(super) fn effect_if_sent(&self) -> Effect {
        if self.changes { Effect::Unknown } else { Effect::None }
    }

    /// What it has done by the head of its answer.
    pub(super) fn effect_by(&self, status: StatusCode, headers: &HeaderMap) -> Effect {
        // A web page of success comes from something in between.
        let is_page = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if status.is_client_error() {
            Effect::None
        } else if self.changes && status.is_success() && status != StatusCode::ACCEPTED && !is_page {
            Effect::Done
        } else {
            self.effect_if_sent()
        }
    }
}
