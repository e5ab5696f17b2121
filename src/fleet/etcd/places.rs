//! Where an API server keeps a resource.

/// Groups whose resources are kept by their own name alone, since they are the API server's own.
const OWN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];
/// Groups whose resources are those of another group, and encrypted as these.
const OTHER_NAMES: &[&str] = &["events.k8s.io", "extensions"];

/// Those of the core group: there will be no others.
const CORE: &[&str] = &[
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "serviceaccounts",
    "services",
];

/// Resources that kept an older name.
const SPECIAL: &[(&str, &str)] = &[
    ("replicationcontrollers", "controllers"),
    ("endpoints", "services/endpoints"),
    ("nodes", "minions"),
    ("services", "services/specs"),
    ("ingresses.networking.k8s.io", "ingress"),
];

/// The prefix of all etcd keys of a resource, as an EncryptionConfiguration names it: `secrets`,
/// `deployments.apps`. `root` is the API server's `--etcd-prefix`, `/registry` unless set. `None` for a
/// wildcard, which is no one resource; and for another name than the API server encrypts it by:
/// `deployments` and `events.events.k8s.io` are kept as `deployments.apps` and `events` are.
///
/// ```
/// use libkms::fleet::etcd::prefix_of;
///
/// assert_eq!(prefix_of("/registry", "secrets").unwrap(), "/registry/secrets/");
/// assert_eq!(prefix_of("/registry", "pandas.awesome.bears.example").unwrap(),
///     "/registry/awesome.bears.example/pandas/");
/// ```
#[must_use]
pub fn prefix_of(root: &str, resource: &str) -> Option<String> {
    let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
    let is_none = name.is_empty() || resource.contains(['*', '/']) || OTHER_NAMES.contains(&group);
    if is_none || (group.is_empty() && !CORE.contains(&name)) {
        return None;
    }
    let root = format!("/{}", root.trim_matches('/'));
    let special = SPECIAL.iter().find(|(of, _)| *of == resource);
    Some(match special {
        Some((_, place)) => format!("{root}/{place}/"),
        None if OWN.contains(&group) => format!("{root}/{name}/"),
        None => format!("{root}/{group}/{name}/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_has_its_place() {
        for (root, resource, place) in [
            ("/registry", "secrets", "/registry/secrets/"),
            ("registry/", "deployments.apps", "/registry/deployments/"),
            ("/a/b", "nodes", "/a/b/minions/"),
            ("/registry", "services", "/registry/services/specs/"),
            ("/registry", "endpoints", "/registry/services/endpoints/"),
            ("/registry", "ingresses.networking.k8s.io", "/registry/ingress/"),
            (
                "/registry",
                "apiservices.apiregistration.k8s.io",
                "/registry/apiregistration.k8s.io/apiservices/",
            ),
            ("/registry", "secrets.example.com", "/registry/example.com/secrets/"),
            (
                "/registry",
                "volumesnapshots.snapshot.storage.k8s.io",
                "/registry/snapshot.storage.k8s.io/volumesnapshots/",
            ),
        ] {
            assert_eq!(prefix_of(root, resource).as_deref(), Some(place));
        }
        for wildcard in ["*.*", "*.", "*.apps", "", ".apps", "a/b"] {
            assert_eq!(prefix_of("/registry", wildcard), None, "{wildcard}");
        }
        for under_another_name in ["deployments", "deployments.", "ingresses", "events.events.k8s.io"] {
            assert_eq!(prefix_of("/registry", under_another_name), None, "{under_another_name}");
        }
    }
}
