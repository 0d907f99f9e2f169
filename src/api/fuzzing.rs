//! Answers as `tests/fuzz` gives them.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::answer::{parse, refusal};
use super::call::Call;
use super::wire;

/// The first two bytes are the status, a line the headers that are read, the rest the body: as every answer that is awaited, and as
/// a refusal.
pub(crate) fn answers(bytes: &[u8]) -> Vec<String> {
    let Some((head, rest)) = bytes.split_first_chunk::<2>() else {
        return Vec::new();
    };
    let status = 100 + u16::from_le_bytes(*head) % 500;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, body) = rest.split_at(end);
    let mut headers = HeaderMap::new();
    let names: [HeaderName; 4] = [DATE, RETRY_AFTER, LOCATION, CONTENT_TYPE];
    for (name, value) in names.into_iter().zip(line.split(|byte| *byte == b'\t')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let api_url = "https://api.dfns.io".parse().expect("an address");
    let call = Call {
        api_url: &api_url,
        method: Method::POST,
        target: "/auth/service-accounts",
        token: None,
        application_id: None,
        user_action: None,
        body: None,
        changes: status % 2 == 0,
    };
    [
        read::<wire::Challenge>(&call, body),
        read::<wire::UserAction>(&call, body),
        read::<wire::Page<wire::ServiceAccount>>(&call, body),
        read::<wire::Page<wire::Permission>>(&call, body),
        read::<wire::Page<wire::PermissionAssignment>>(&call, body),
        read::<wire::LoginAnswer>(&call, body),
        read::<wire::CodeChallenge>(&call, body),
        read::<wire::NewServiceAccount>(&call, body),
        read::<wire::UserInfo>(&call, body),
        Some(refusal("api.dfns.io", status, &headers, body, &call).to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn read<T: DeserializeOwned>(call: &Call<'_>, body: &[u8]) -> Option<String> {
    parse::<T>(call, body).err().map(|error| error.to_string())
}
