//! A Kubernetes Secret: `v1`, `Opaque`, base64 `data`.

use zeroize::Zeroizing;

use super::{ExportError, Exportable, base64, json_object, room_for};

pub(super) fn secret(credential: &Exportable<'_>) -> Result<Zeroizing<String>, ExportError> {
    let data: Vec<(&str, Zeroizing<String>)> = credential
        .variables()?
        .iter()
        .map(|(name, value)| (*name, base64(value)))
        .collect();
    let data = json_object(&data, "  ");
    // A name of ours may have an underscore, which a name of Kubernetes's may not.
    let name = format!("{}-dfns", credential.name).replace('_', "-");
    let mut text = room_for(data.len() + 512);
    text.push_str("{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Secret\",\n  \"metadata\": {\"name\": \"");
    text.push_str(&name);
    text.push_str(
        "\", \"labels\": {\"app.kubernetes.io/managed-by\": \"dfns-keys\"}},\n  \"type\": \"Opaque\",\n  \"data\": ",
    );
    text.push_str(&data);
    text.push_str("\n}\n");
    Ok(text)
}
