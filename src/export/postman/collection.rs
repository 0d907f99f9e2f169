//! The collection: every operation of the API in folders, and one script that signs what changes state.

use serde_json::{Value, json};

use crate::model::operations::{self, Operation};

/// A Postman collection (format 2.1.0) of every operation, with a script that signs offline. It holds no secret: those are in
/// the environment.
#[must_use]
pub fn collection() -> String {
    let collection = json!({
        "info": {
            "name": "Dfns, signed offline",
            "description": "Every operation of the Dfns API. What changes state is signed in the pre-request script of this \
                collection, which downloads nothing. Choose the environment of a credential before you send.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{authToken}}", "type": "string"}]},
        "variable": [{"key": "dfnsApiScheme", "value": "https"}],
        "event": [{
            "listen": "prerequest",
            "script": {"type": "text/javascript", "exec": script().lines().collect::<Vec<_>>()},
        }],
        "item": folders(),
    });
    let mut text = serde_json::to_string_pretty(&collection).expect("a JSON value has a text");
    text.push('\n');
    text
}

/// The signer, what is not signed, and what puts both to use.
fn script() -> String {
    let unsigned: Vec<String> = operations::all()
        .iter()
        .filter(|operation| !operation.signed && operation.method != "GET")
        .map(|operation| format!("{} {}", operation.method, with_colons(operation.path)))
        .collect();
    let unsigned = serde_json::to_string_pretty(&unsigned).expect("a list of texts has a JSON form");
    format!(
        "{}\n// These take a token at most.\nconst UNSIGNED = {unsigned};\n\n{}",
        include_str!("p256.js"),
        include_str!("prerequest.js")
    )
}

fn folders() -> Vec<Value> {
    operations::all()
        .chunk_by(|one, next| one.tag == next.tag)
        .map(|folder| json!({"name": folder[0].tag, "item": folder.iter().map(request).collect::<Vec<_>>()}))
        .collect()
}

fn request(operation: &Operation) -> Value {
    let path = with_colons(operation.path);
    let variables: Vec<Value> = operation
        .path_variables()
        .map(|name| json!({"key": name, "value": ""}))
        .collect();
    let mut url = json!({
        "raw": format!("{{{{dfnsApiScheme}}}}://{{{{dfnsApiDomain}}}}{path}"),
        "protocol": "{{dfnsApiScheme}}",
        "host": ["{{dfnsApiDomain}}"],
        "path": path.trim_start_matches('/').split('/').collect::<Vec<_>>(),
    });
    if !variables.is_empty() {
        url["variable"] = variables.into();
    }
    let mut request = json!({"method": operation.method, "header": [], "url": url});
    if !operation.body.is_empty() {
        let body: Value = serde_json::from_str(operation.body).expect("the table's bodies are JSON, as its test shows");
        request["header"] = json!([{"key": "Content-Type", "value": "application/json"}]);
        request["body"] = json!({
            "mode": "raw",
            "raw": serde_json::to_string_pretty(&body).expect("a JSON value has a text"),
            "options": {"raw": {"language": "json"}},
        });
    }
    json!({"name": operation.name, "request": request})
}

/// A path as Postman writes its variables: `/wallets/:walletId`.
fn with_colons(path: &str) -> String {
    path.replace('{', ":").replace('}', "")
}
