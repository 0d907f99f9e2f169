//! A Postman environment export: `{"name", "values": [{"key", "value", "type", "enabled"}]}`.

use secrecy::SecretString;
use serde_json::Value;

use super::{Source, Subject, Unreadable, Variable};

/// The variables of the vendor's environment, and those that our own adds.
const OURS: &[&str] = &[
    "dfnsApiDomain",
    "authToken",
    "credentialPrivateKey",
    "applicationId",
    "applicationOrigin",
    "useAuthV2",
    "credentialId",
    "dfnsApiScheme",
];

pub(super) fn parse(label: &str, text: &str) -> Result<Subject, Unreadable> {
    let unreadable = |message: String| Unreadable {
        label: label.to_owned(),
        message,
        hint: "in Postman: Environments, the three dots, Export".to_owned(),
    };
    let document: Value = serde_json::from_str(text)
        .map_err(|error| unreadable(format!("line {}: it is not JSON, as Postman exports it", error.line())))?;
    if document.get("info").is_some() && document.get("item").is_some() {
        return Err(unreadable("it is a Postman collection, not an environment".to_owned()));
    }
    let values = document
        .get("values")
        .and_then(Value::as_array)
        .ok_or_else(|| unreadable("it is JSON, but no Postman environment: there is no list `values`".to_owned()))?;
    let lookup = |name: &str| {
        let found = values
            .iter()
            .rev()
            .find(|value| value["key"] == name && value["enabled"] != Value::Bool(false));
        found.and_then(|value| value["value"].as_str())
    };
    let variable =
        |name: &'static str| Variable::new(name, lookup(name).map(|text| SecretString::from(text.to_owned())));
    let keys = values.iter().filter_map(|value| value["key"].as_str());
    let mut names = vec![label.to_owned()];
    names.extend(document.get("name").and_then(Value::as_str).map(super::shortened));
    Ok(Subject {
        label: label.to_owned(),
        source: Source::Postman,
        others: super::told(keys.filter(|key| !OURS.contains(key))),
        // The vendor's collection knows https alone; ours takes another scheme for a sandbox.
        scheme: lookup("dfnsApiScheme").unwrap_or("https").to_owned(),
        mode: None,
        names,
        api_url: variable("dfnsApiDomain"),
        token: variable("authToken"),
        private_key: variable("credentialPrivateKey"),
        held: None,
        key_is_declared_base64: false,
        credential_id: variable("credentialId"),
        application_id: variable("applicationId"),
        origin: variable("applicationOrigin"),
        organisation_id: Variable::new("organisation", None),
        public_key: Variable::new("public key", None),
        username: None,
    })
}
