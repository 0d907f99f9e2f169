//! A Postman environment with the vendor's variable names, so that it works with the vendor's own collection too.

use zeroize::Zeroizing;

use super::{Exportable, PostmanAuth, json_string, room_for};

pub(super) fn environment(credential: &Exportable<'_>, auth: PostmanAuth) -> Zeroizing<String> {
    let plain = |text: String| Zeroizing::new(text);
    let environment = credential.environment;
    // The vendor's collection puts the scheme in front itself.
    let address = environment.api_url.to_string();
    let domain = address.split_once("://").map_or(address.as_str(), |(_, domain)| domain);
    let application = environment
        .application_id
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let generation = credential.generation;
    let mut values = vec![
        ("dfnsApiDomain", plain(domain.to_owned()), "default"),
        (
            "authToken",
            plain(generation.token.expose_secret().to_owned()),
            "secret",
        ),
        (
            "credentialPrivateKey",
            plain(generation.private_key.expose_secret().to_owned()),
            "secret",
        ),
        ("applicationId", plain(application), "default"),
        ("applicationOrigin", plain(environment.origin.to_string()), "default"),
    ];
    values.push(match auth {
        PostmanAuth::V2 => ("useAuthV2", plain("true".to_owned()), "default"),
        PostmanAuth::V1 => ("useAuthV2", plain("false".to_owned()), "default"),
    });
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
    text
}
