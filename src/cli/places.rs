//! What the environment says of the places that are delivered to without a program: as Vault's and Kubernetes's own tools
//! take it from there.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::folders;
use crate::deliver::InCluster;
use crate::remote::VaultAccess;
use crate::sys::files;

/// Where a pod finds what its service account is known by.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Which Vault, and who asks. OpenBao's own variables come first.
pub(super) fn vault() -> VaultAccess {
    let either = |name: &str| variable(&format!("BAO_{name}")).or_else(|| variable(&format!("VAULT_{name}")));
    VaultAccess {
        address: either("ADDR"),
        token: either("TOKEN").map(SecretString::from),
        token_file: folders::home().map(|home| home.join(".vault-token")),
        namespace: either("NAMESPACE"),
        authority: either("CACERT").map(PathBuf::from),
    }
}

/// The cluster of this pod, where there are no settings for kubectl, which come first with kubectl, too.
pub(super) fn cluster() -> Option<InCluster> {
    let (host, port) = (
        variable("KUBERNETES_SERVICE_HOST")?,
        variable("KUBERNETES_SERVICE_PORT")?,
    );
    let settings = folders::home().map(|home| home.join(".kube/config"));
    let folder = Path::new(SERVICE_ACCOUNT);
    if variable("KUBECONFIG").is_some()
        || settings.is_some_and(|settings| files::exists(&settings))
        || !files::exists(&folder.join("token"))
    {
        return None;
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(InCluster {
        address: format!("https://{host}:{port}"),
        folder: folder.to_owned(),
    })
}

/// A variable, where it is set and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
