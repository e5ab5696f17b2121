//! From a URI and what the AWS tools are configured with.
use super::{
    AwsKms,
    allowed::{Allowed, checked_region},
    arn::Name,
    calls::Calls,
    credentials::{Fetched, provider},
    http::http_client,
};
use crate::{
    Error, ErrorKind, Result,
    kek::{KeyUri, on_tokio::on_io},
};
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_kms::Config;
use std::time::Duration;

/// The region may be asked of the machine's metadata service, which may not be there.
const TIME_TO_CONFIGURE: Duration = Duration::from_secs(10);
const PARAMETERS: &[&str] = &[
    "accept",
    "accept-account",
    "dual-stack",
    "endpoint",
    "fips",
    "grant-token",
    "profile",
    "region",
    "regions",
];

impl AwsKms {
    pub(in crate::kek) async fn from_uri(uri: &KeyUri) -> Result<Self> {
        // Whatever is wrong with the URI is told before anything is looked up.
        let loader = loader(uri, region(uri)?)?;
        let config = on_io(async move {
            let loading = tokio::time::timeout(TIME_TO_CONFIGURE, loader.load()).await;
            loading.map_err(|_| {
                Error::new(ErrorKind::Unavailable, "aws-kms: reading the AWS configuration took too long")
            })
        });
        let found = config.await?;
        let config =
            Config::from(&found).to_builder().credentials_provider(credentials(uri, &found)?).build();
        let allowed = Allowed::from_uri(uri, config.region().map(|r| r.as_ref()))?;
        let kek = Self(Calls::new(&config, allowed));
        list(uri, "grant-token").try_fold(kek, |kek, token| kek.grant_token(token))
    }
}

impl Allowed {
    /// `region`: where the key is if neither the URI nor its ARN says it.
    pub(super) fn from_uri(uri: &KeyUri, region: Option<&str>) -> Result<Self> {
        let said = self::region(uri)?;
        let mut allowed = Self::new(Name::parse(uri.rest())?, said.as_deref().or(region))?;
        list(uri, "accept").try_for_each(|arn| allowed.accept(arn))?;
        list(uri, "accept-account").try_for_each(|account| allowed.accept_account(account))?;
        list(uri, "regions").try_for_each(|region| allowed.in_region(region))?;
        Ok(allowed)
    }
}

fn list<'a>(uri: &'a KeyUri, name: &str) -> impl Iterator<Item = &'a str> {
    uri.param(name).into_iter().flat_map(|all| all.split(',')).filter(|s| !s.is_empty())
}

fn credentials(uri: &KeyUri, config: &SdkConfig) -> Result<Fetched> {
    let profile = |uri: &KeyUri| uri.param("profile").map(String::from);
    provider(config, profile(uri).as_deref())?;
    let (uri, region) = (uri.clone(), config.region().map(|region| region.to_string()));
    Ok(Fetched::new(Box::new(move || {
        let (loader, profile) = (loader(&uri, region.clone()), profile(&uri));
        Box::pin(async move { provider(&loader.ok()?.load().await, profile.as_deref()).ok()? })
    })))
}

/// The one that the URI or the key's ARN names.
fn region(uri: &KeyUri) -> Result<Option<String>> {
    uri.only(PARAMETERS)?;
    let name = Name::parse(uri.rest())?;
    let named = uri.param("region").map(checked_region).transpose()?;
    match (name.region(), named) {
        (Some(of_key), Some(named)) if of_key != named => {
            Err(Error::misuse(format!("aws-kms: the key is in {of_key}, and region= says {named}")))
        }
        (Some(of_key), _) => Ok(Some(of_key.into())),
        (None, named) => Ok(named),
    }
}

fn loader(uri: &KeyUri, region: Option<String>) -> Result<ConfigLoader> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = uri.param("profile") {
        loader = loader.profile_name(profile);
    }
    let (fips, dual_stack) = (flag(uri, "fips")?, flag(uri, "dual-stack")?);
    if let Some(url) = uri.param("endpoint") {
        if !is_endpoint(url) {
            return Err(Error::misuse(
                "aws-kms: endpoint: https:// or http://, a host, and a port or a path",
            ));
        }
        if fips == Some(true) || dual_stack == Some(true) {
            return Err(Error::misuse("aws-kms: endpoint= with fips= or dual-stack=, which are AWS's own"));
        }
        loader = loader.endpoint_url(url);
    }
    if let Some(fips) = fips {
        loader = loader.use_fips(fips);
    }
    if let Some(dual_stack) = dual_stack {
        loader = loader.use_dual_stack(dual_stack);
    }
    Ok(loader)
}

/// Neither a name nor a password stands in it: whatever else is there is part of the host.
fn is_endpoint(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_of_a_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let is_of_a_path = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    !host.is_empty() && host.bytes().all(is_of_a_host) && path.bytes().all(is_of_a_path)
}

fn flag(uri: &KeyUri, name: &str) -> Result<Option<bool>> {
    match uri.param(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Error::misuse(format!("aws-kms: {name} is true or false"))),
    }
}
