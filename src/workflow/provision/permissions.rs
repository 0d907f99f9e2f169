//! Permissions as users name them.

use thiserror::Error;

use crate::api::{CallError, UserSession};
use crate::model::ids::PermissionId;
use crate::model::quoted::Quoted;

/// Turns permissions as the user named them into ids: an id stands for itself, a name is looked up once for all.
///
/// # Errors
/// When there is none of that name, or the list cannot be had.
pub async fn resolve_permissions(
    session: &UserSession<'_>,
    wanted: &[String],
) -> Result<Vec<PermissionId>, ResolveError> {
    if wanted.iter().all(|name| name.starts_with("pm-")) {
        let id = |text: &String| text.parse().map_err(|_| ResolveError::Unknown(Quoted::of(text)));
        return wanted.iter().map(id).collect();
    }
    let known = session.permissions().await.map_err(ResolveError::Call)?;
    wanted
        .iter()
        .map(|wanted| {
            known
                .iter()
                .find(|(id, name)| id.as_str() == wanted || name.is(wanted))
                .map(|(id, _)| id.clone())
                .ok_or_else(|| ResolveError::Unknown(Quoted::of(wanted)))
        })
        .collect()
}

/// A permission could not be found.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// There is none of that name or id.
    #[error("there is no permission {0}")]
    Unknown(Quoted),
    /// The list cannot be had.
    #[error("listing permissions: {0}")]
    Call(CallError),
}
