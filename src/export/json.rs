//! One JSON object, for programs that read their configuration so.

use zeroize::Zeroizing;

use super::{Exportable, json_object};

pub(super) fn object(credential: &Exportable<'_>) -> Zeroizing<String> {
    let mut text = json_object(&credential.variables(), "");
    text.push('\n');
    text
}
