//! What a credential is begun with. A later run goes on with the same, or is refused before anything is sent: a token or
//! a one-time code is meant for one server.

use thiserror::Error;

use crate::model::credential::{Environment, Kind};
use crate::model::ids::{ApplicationId, CredentialName, OrganisationId};
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::url::{ApiUrl, Origin, UrlError};

/// What a new credential has where nobody says otherwise for it, as a context has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Where the API is; production if nothing is said.
    pub api_url: Option<ApiUrl>,
    /// The origin in client data; the dashboard's if nothing is said.
    pub origin: Option<Origin>,
    /// The application.
    pub application_id: Option<ApplicationId>,
    /// The organisation the credential must belong to.
    pub organisation_id: Option<OrganisationId>,
}

impl Defaults {
    /// The environment of a new credential.
    ///
    /// # Errors
    /// When a default address is wrong, which cannot be.
    pub(super) fn environment(self) -> Result<Environment, UrlError> {
        Ok(Environment {
            api_url: self.api_url.map_or_else(|| ApiUrl::PRODUCTION.parse(), Ok)?,
            origin: self.origin.map_or_else(|| Origin::DASHBOARD.parse(), Ok)?,
            application_id: self.application_id,
            organisation_id: self.organisation_id,
        })
    }
}

/// What the user asked for. What is left out has a default for a new credential, and stays as it is for one begun.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The kind of identity; a service account by default.
    pub kind: Option<Kind>,
    /// Where the API is; production by default.
    pub api_url: Option<ApiUrl>,
    /// The origin in client data; the dashboard's by default.
    pub origin: Option<Origin>,
    /// The application.
    pub application_id: Option<ApplicationId>,
    /// The organisation the credential must belong to.
    pub organisation_id: Option<OrganisationId>,
    /// Where its key is held, if it is not sealed.
    pub key: Option<KeyUri>,
    /// For a new credential, in place of what is left out.
    pub otherwise: Defaults,
}

/// A credential was begun with other settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name} was begun with {field} {begun}, not {wished}")]
pub struct OtherSettings {
    /// The credential.
    pub name: CredentialName,
    /// Which setting.
    pub field: &'static str,
    /// What it was begun with.
    pub begun: String,
    /// What is asked for now.
    pub wished: String,
}

impl Asked {
    /// The environment of a new credential.
    ///
    /// # Errors
    /// When a default address is wrong, which cannot be.
    pub fn environment(self) -> Result<Environment, UrlError> {
        Defaults {
            api_url: self.api_url.or(self.otherwise.api_url),
            origin: self.origin.or(self.otherwise.origin),
            application_id: self.application_id.or(self.otherwise.application_id),
            organisation_id: self.organisation_id.or(self.otherwise.organisation_id),
        }
        .environment()
    }

    /// Whether a credential was begun with what is asked for now.
    ///
    /// # Errors
    /// When it was begun with something else.
    pub fn agree_with(&self, record: &PublicRecord) -> Result<(), OtherSettings> {
        let name = &record.name;
        let kind = self.kind.map(Kind::in_words);
        same(name, "the kind", Some(record.kind.in_words()), kind)?;
        same(name, "the api url", Some(&record.api_url), self.api_url.as_ref())?;
        same(name, "the origin", Some(&record.origin), self.origin.as_ref())?;
        same(
            name,
            "the application id",
            record.app_id.as_ref(),
            self.application_id.as_ref(),
        )?;
        same(
            name,
            "the organisation",
            record.org_id.as_ref(),
            self.organisation_id.as_ref(),
        )
    }
}

/// Whether one setting is as it was, where it is asked for at all.
pub(super) fn same<T: ToString + PartialEq>(
    name: &CredentialName,
    field: &'static str,
    begun: Option<T>,
    wished: Option<T>,
) -> Result<(), OtherSettings> {
    match wished {
        Some(wished) if begun.as_ref() != Some(&wished) => Err(OtherSettings {
            name: name.clone(),
            field,
            begun: begun.map_or_else(|| "none".to_owned(), |begun| begun.to_string()),
            wished: wished.to_string(),
        }),
        _ => Ok(()),
    }
}
