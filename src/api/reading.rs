//! Calls that change nothing: one answer, or a list page by page. Passing failures are waited out.

use bytes::Bytes;
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::answer::parse;
use super::call::Call;
use super::client::Client;
use super::error::ApiError;
use super::user_action::Access;
use super::wire;
use crate::model::effect::Effect;

/// A list of more pages than this, or larger, is somebody keeping us busy.
const MOST_PAGES: usize = 1_000;
const LARGEST_LIST: usize = 64 * 1024 * 1024;
const LONGEST_PAGE_TOKEN: usize = 4 * 1024;

impl Client {
    /// Reads a list page by page, until what is looked for is on one.
    ///
    /// # Errors
    /// When a page is refused or cannot be had, or there is no end of them.
    pub(super) async fn find_listed<T: DeserializeOwned, R>(
        &self,
        access: Access<'_>,
        path: &str,
        mut look: impl FnMut(Vec<T>) -> Option<R>,
    ) -> Result<Option<R>, ApiError> {
        let mut target = path.to_owned();
        let mut size = 0;
        for _ in 0..MOST_PAGES {
            let (page, bytes): (wire::Page<T>, usize) = self.read_sized(access, &target).await?;
            if let Some(found) = look(page.items) {
                return Ok(Some(found));
            }
            size += bytes;
            match page.next_page_token.filter(|token| !token.is_empty()) {
                Some(token) if size <= LARGEST_LIST && token.len() <= LONGEST_PAGE_TOKEN => {
                    let query: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
                    target = format!("{path}?paginationToken={query}");
                }
                Some(_) => break,
                None => return Ok(None),
            }
        }
        // Part of a list would be taken for the whole.
        Err(ApiError::NotDfns {
            host: access.environment.api_url.host().to_owned(),
            what: "a list without end",
            effect: Effect::None,
        })
    }

    /// All of a list.
    ///
    /// # Errors
    /// As [`Self::find_listed`].
    pub(super) async fn list<T: DeserializeOwned>(&self, access: Access<'_>, path: &str) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        let keep = |items| {
            all.extend::<Vec<T>>(items);
            None::<()>
        };
        self.find_listed(access, path, keep).await?;
        Ok(all)
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, access: Access<'_>, path: &str) -> Result<T, ApiError> {
        self.read_sized(access, path).await.map(|(value, _)| value)
    }

    /// The same, and how many bytes it took.
    pub(super) async fn read_sized<T: DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
    ) -> Result<(T, usize), ApiError> {
        let call = access.call(Method::GET, path);
        self.retrying(async || {
            let answer = self.send(&call).await?;
            Ok((parse(&call, &answer.body)?, answer.body.len()))
        })
        .await
    }
    /// A request that changes nothing although it is a POST, so that passing failures are waited out.
    pub(super) async fn post_unsigned<T: DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
        body: &str,
    ) -> Result<T, ApiError> {
        let call = Call {
            body: Some(Bytes::copy_from_slice(body.as_bytes())),
            ..access.call(Method::POST, path)
        };
        self.retrying(async || self.send_json(&call).await)
            .await
            .map(|(value, _)| value)
    }
}
