//! What each kind of target looks like.

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// A file on one machine: `file:/PATH`.
    File,
    /// A credential for a systemd service, encrypted for one machine: `systemd-creds:/PATH`.
    SystemdCreds,
    /// A Secret in a cluster: `kubernetes:NAMESPACE/SECRET`.
    Kubernetes,
    /// A secret of Vault's or OpenBao's key-value store, version 2: `hashivault:MOUNT/PATH`.
    Hashivault,
    /// A secret of AWS Secrets Manager: `aws-secrets-manager:ID`.
    AwsSecretsManager,
    /// A `SecureString` of AWS Systems Manager: `aws-ssm:/PATH`.
    AwsSsm,
    /// A secret for GitHub Actions: `github:OWNER/REPO`.
    Github,
    /// Whatever a program `dfns-keys-target-NAME` knows: `plugin:NAME`.
    Plugin,
}

/// One kind's word, its parameters, and what its rest looks like.
pub(super) struct Row {
    pub(super) kind: TargetKind,
    pub(super) word: &'static str,
    /// `None` where any will do.
    pub(super) parameters: Option<&'static [&'static str]>,
    pub(super) rest: &'static str,
    pub(super) fits: fn(&str) -> bool,
}

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: TargetKind::File,
        word: "file",
        parameters: Some(&["format", "host", "mode", "owner"]),
        rest: "file:/PATH, whole and without detours",
        fits: is_plain_path,
    },
    Row {
        kind: TargetKind::SystemdCreds,
        word: "systemd-creds",
        parameters: Some(&["format", "host"]),
        rest: "systemd-creds:/PATH, whole and without detours",
        fits: is_plain_path,
    },
    Row {
        kind: TargetKind::Kubernetes,
        word: "kubernetes",
        parameters: Some(&["context"]),
        rest: "kubernetes:NAMESPACE/SECRET, as Kubernetes names them",
        fits: is_kubernetes,
    },
    Row {
        kind: TargetKind::Hashivault,
        word: "hashivault",
        parameters: Some(&[]),
        rest: "hashivault:MOUNT/PATH, without detours",
        fits: |rest| rest.contains('/') && is_plain_path(&format!("/{rest}")),
    },
    Row {
        kind: TargetKind::AwsSecretsManager,
        word: "aws-secrets-manager",
        parameters: Some(&["profile", "region"]),
        rest: "aws-secrets-manager:NAME, in letters, digits and `/_+=.@-`, and no ARN",
        fits: |rest| rest.len() <= 512 && begins_well(rest, "/") && consists_of(rest, "/_+=.@-"),
    },
    Row {
        kind: TargetKind::AwsSsm,
        word: "aws-ssm",
        parameters: Some(&["profile", "region"]),
        rest: "aws-ssm:/PATH, in letters, digits and `_.-`",
        fits: |rest| is_plain_path(rest) && consists_of(rest, "/_.-"),
    },
    Row {
        kind: TargetKind::Github,
        word: "github",
        parameters: Some(&["environment", "format"]),
        rest: "github:OWNER/REPO",
        fits: is_repository,
    },
    Row {
        kind: TargetKind::Plugin,
        word: "plugin",
        parameters: None,
        rest: "plugin:NAME, in lower-case letters, digits, `.`, `_` and `-`",
        fits: is_plugin_name,
    },
];

impl TargetKind {
    /// The words of all kinds.
    pub fn words() -> impl Iterator<Item = &'static str> {
        ROWS.iter().map(|row| row.word)
    }

    pub(super) fn row(self) -> &'static Row {
        ROWS.iter()
            .find(|row| row.kind == self)
            .expect("every kind has its row")
    }

    /// Whether its places are on one machine each, so that a target says which.
    #[must_use]
    pub fn has_host(self) -> bool {
        self.row().parameters.is_some_and(|known| known.contains(&"host"))
    }

    /// Whether its places show to nobody what was put there.
    #[must_use]
    pub fn is_write_only(self) -> bool {
        self == Self::Github
    }
}

fn is_plain_path(rest: &str) -> bool {
    let mut parts = rest.split('/');
    parts.next() == Some("") && parts.all(|part| !part.is_empty() && part != "." && part != "..")
}

fn consists_of(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// So that no tool takes it for an option.
fn begins_well(text: &str, others: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_kubernetes(rest: &str) -> bool {
    let is_label = |label: &str| {
        begins_well(label, "") && consists_of(label, "-") && !label.ends_with('-') && *label == label.to_lowercase()
    };
    rest.split_once('/').is_some_and(|(namespace, secret)| {
        namespace.len() <= 63 && secret.len() <= 253 && is_label(namespace) && secret.split('.').all(is_label)
    })
}

fn is_repository(rest: &str) -> bool {
    let fits = |part: &str| begins_well(part, "._") && consists_of(part, "._-") && part != "." && part != "..";
    rest.split_once('/')
        .is_some_and(|(owner, name)| fits(owner) && fits(name))
}

pub(in crate::model) fn is_plugin_name(rest: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let begins = rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins && rest.len() <= 64 && rest.chars().all(fits)
}
