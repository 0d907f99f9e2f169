//! Postman: an environment with the vendor's variable names, so that it works with the vendor's own collection too, and a
//! collection that signs offline.

mod collection;

use zeroize::Zeroizing;

use super::{ExportError, Exportable, PostmanAuth, json_string, room_for};
use crate::model::url::ApiUrl;

pub use collection::collection;

/// The environment of one credential; with a proxy, that one's address and no secret.
pub(super) fn environment(
    credential: &Exportable<'_>,
    auth: PostmanAuth,
    proxy: Option<&ApiUrl>,
) -> Result<Zeroizing<String>, ExportError> {
    let plain = |text: &str| Zeroizing::new(text.to_owned());
    let environment = credential.environment;
    let generation = credential.generation;
    let address = proxy.unwrap_or(&environment.api_url).to_string();
    // The vendor's collection puts https in front itself; ours takes the scheme from a variable of its own.
    let (scheme, domain) = address.split_once("://").unwrap_or(("https", &address));
    let secret = |value: &str| match proxy {
        None => plain(value),
        Some(_) => plain(""),
    };
    let application = environment.application_id.as_ref().map_or("", |id| id.as_str());
    let v2 = match auth {
        PostmanAuth::V2 => "true",
        PostmanAuth::V1 => "false",
    };
    let mut values = vec![
        ("dfnsApiDomain", plain(domain), "default"),
        ("authToken", secret(generation.token.expose_secret()), "secret"),
        ("credentialPrivateKey", secret(credential.private_key()?), "secret"),
        ("applicationId", plain(application), "default"),
        ("applicationOrigin", plain(&environment.origin.to_string()), "default"),
        ("useAuthV2", plain(v2), "default"),
        ("credentialId", plain(credential.credential_id()?.as_str()), "default"),
    ];
    if scheme != "https" {
        values.push(("dfnsApiScheme", plain(scheme), "default"));
    }
    if proxy.is_some() {
        values.push(("signedByProxy", plain("true"), "default"));
    }
    let length: usize = values.iter().map(|(_, value, _)| value.len() * 6 + 128).sum();
    let mut text = room_for(length + 512);
    text.push_str("{\n  \"id\": ");
    text.push_str(&json_string(&format!("dfns-keys-{}", credential.name)));
    text.push_str(",\n  \"name\": ");
    text.push_str(&json_string(&format!("Dfns {}", credential.name)));
    text.push_str(",\n  \"values\": [\n");
    for (position, (key, value, kind)) in values.iter().enumerate() {
        let parts = [
            "    {\"key\": \"",
            key,
            "\", \"value\": ",
            &json_string(value),
            ", \"type\": \"",
            kind,
            "\", \"enabled\": true}",
        ];
        for part in parts {
            text.push_str(part);
        }
        text.push_str(if position + 1 == values.len() { "\n" } else { ",\n" });
    }
    text.push_str("  ],\n  \"_postman_variable_scope\": \"environment\"\n}\n");
    Ok(text)
}
