//! One JSON object, for programs that read their configuration so.

use zeroize::Zeroizing;

use super::{ExportError, Exportable, json_object};

pub(super) fn object(credential: &Exportable<'_>) -> Result<Zeroizing<String>, ExportError> {
    let mut text = json_object(&credential.variables()?, "");
    text.push('\n');
    Ok(text)
}
