//! A credential in the documents of `--json`.

use serde_json::{Value, json};

use crate::model::record::PublicRecord;

/// What the commands say that bring a credential in.
pub(super) fn document(record: &PublicRecord) -> Value {
    json!({
        "name": record.name,
        "state": record.state,
        "kind": record.kind,
        "fingerprint": record.fingerprint,
        "public_key": record.public_key,
        "org_id": record.org_id,
        "identity_id": record.identity_id,
        "token_id": record.token_id,
        "credential_id": record.credential_id,
        "token_expires_at": record.token_expires_at,
    })
}
