//! Which schemes a program understands.
use super::{KeyUri, KmsBackend};
use crate::{Error, Recipient, Result, rt::BoxFuture};
use std::{collections::HashMap, fmt, sync::Arc};

type Open = Arc<dyn Fn(KeyUri) -> BoxFuture<'static, Result<Arc<dyn KmsBackend>>> + Send + Sync>;

/// The schemes that key URIs may have: a value, not a global.
#[derive(Clone)]
pub struct Schemes(HashMap<String, Open>);

/// Schemes of libkms, and the feature that each one needs.
const OURS: &[(&str, &str)] =
    &[("aws-kms", "aws"), ("k8s-kms", "plugin"), ("local", "local"), ("mock", "test-util")];

impl Default for Schemes {
    /// Those that are compiled in.
    fn default() -> Self {
        #[allow(unused_mut, reason = "without features there is none")]
        let mut all = Self(HashMap::new());
        #[cfg(feature = "aws")]
        all.add("aws-kms", |uri| async move { super::AwsKms::from_uri(&uri).await });
        #[cfg(feature = "plugin")]
        all.add("k8s-kms", |uri| async move { super::PluginKms::from_uri(&uri) });
        #[cfg(feature = "local")]
        all.add("local", |uri| async move { super::Keyring::from_uri(&uri) });
        #[cfg(feature = "test-util")]
        all.add("mock", |uri| async move { super::Mock::from_uri(&uri) });
        all
    }
}

impl Schemes {
    /// With one more, or another one under that name: yours.
    ///
    /// ```
    /// # use libkms::kek::{Schemes, KeyUri, KmsBackend};
    /// # fn f<B: KmsBackend>(connect: fn(KeyUri) -> libkms::Result<B>) {
    /// let schemes = Schemes::default().with("x-my", move |uri| async move { connect(uri) });
    /// # }
    /// ```
    #[must_use]
    pub fn with<B, F>(mut self, scheme: &str, open: impl Fn(KeyUri) -> F + Send + Sync + 'static) -> Self
    where
        B: KmsBackend,
        F: Future<Output = Result<B>> + Send + 'static,
    {
        self.add(scheme, open);
        self
    }

    fn add<B, F>(&mut self, scheme: &str, open: impl Fn(KeyUri) -> F + Send + Sync + 'static)
    where
        B: KmsBackend,
        F: Future<Output = Result<B>> + Send + 'static,
    {
        let open: Open = Arc::new(move |uri| {
            let opening = open(uri);
            Box::pin(async move { Ok(Arc::new(opening.await?) as Arc<dyn KmsBackend>) })
        });
        self.0.insert(scheme.into(), open);
    }

    /// The KEK that `uri` names.
    ///
    /// # Errors
    /// Misuse for a URI that is none, an unknown scheme, or one that is not compiled in,
    /// with the feature it needs; else what the backend says.
    pub async fn from_uri(&self, uri: &str) -> Result<Arc<dyn KmsBackend>> {
        let uri: KeyUri = uri.parse()?;
        match self.0.get(uri.scheme()) {
            Some(open) => open(uri).await,
            None => Err(Error::misuse(match OURS.iter().find(|s| s.0 == uri.scheme()) {
                Some((scheme, feature)) => {
                    format!("{scheme}: is not in this build of libkms: it needs the feature {feature}")
                }
                None => format!("{}: unknown scheme", uri.scheme()),
            })),
        }
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The KEK that `uri` names, of a scheme that is compiled in.
///
/// # Errors
/// As [`Schemes::from_uri`].
pub async fn from_uri(uri: &str) -> Result<Arc<dyn KmsBackend>> {
    Schemes::default().from_uri(uri).await
}

/// What lets a KEK open what no KEK here accepts, where a scheme has a way to say so.
#[allow(unused_mut, unused_variables, reason = "without features there is none")]
pub(crate) fn how_to_accept(recipients: &[Recipient]) -> Option<String> {
    let mut ways = Vec::<String>::new();
    #[cfg(feature = "aws")]
    ways.extend(super::aws::how_to_accept(recipients));
    (!ways.is_empty()).then(|| ways.join("; "))
}
