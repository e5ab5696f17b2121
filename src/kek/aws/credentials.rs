//! The credentials of a KEK that a URI opens.
use super::http::http_client;
use crate::{
    Error, Result,
    rt::{
        BoxFuture, Flight,
        sync::{Mutex, lock},
    },
};
use aws_config::{SdkConfig, profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Less than a call has unless set: it is then told what did not come.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Somebody may have to type a code. What takes longer hangs, and is begun anew.
const LONGEST: Duration = Duration::from_secs(60);

/// What the AWS tools are configured with, read anew.
pub(super) type Source = dyn Fn() -> BoxFuture<'static, Option<SharedCredentialsProvider>> + Send + Sync;
type Fetch = Result<Credentials, Arc<CredentialsError>>;

/// Fetched one at a time, whoever asks. What fetches goes on when the call that needed it is
/// over: a login may take longer than a call has, and would never end otherwise.
#[derive(Clone)]
pub(super) struct Fetched(Arc<Inner>);

struct Inner {
    source: Box<Source>,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    provider: Option<SharedCredentialsProvider>,
    fetching: Option<Flight<Fetch>>,
    /// What nobody waited for any more.
    left: Option<Credentials>,
}

impl Fetched {
    pub(super) fn new(source: Box<Source>) -> Self {
        Self::within(LONGEST, source)
    }

    fn within(longest: Duration, source: Box<Source>) -> Self {
        Self(Arc::new(Inner { source, longest, state: Mutex::default() }))
    }

    async fn get(&self) -> provider::Result {
        if let Some(left) = lock(&self.0.state).left.take().filter(is_good) {
            return Ok(left);
        }
        let fetched = tokio::time::timeout(PATIENCE, self.flight()).await;
        let fetched = fetched.map_err(|_| CredentialsError::provider_timed_out(PATIENCE))?;
        lock(&self.0.state).left = None;
        fetched.map_err(|e| same(&e))
    }

    fn flight(&self) -> Flight<Fetch> {
        let mut state = lock(&self.0.state);
        if let Some(flight) = &state.fetching {
            return flight.clone();
        }
        let (me, fallen) = (self.0.clone(), self.0.clone());
        let panicked = move || {
            lock(&fallen.state).fetching = None;
            Err(Arc::new(CredentialsError::unhandled("a panic")))
        };
        let (flight, task) = Flight::new(async move { me.fetch().await }, panicked);
        state.fetching = Some(flight.clone());
        drop(tokio::spawn(task));
        flight
    }
}

impl Inner {
    async fn fetch(&self) -> Fetch {
        let known = lock(&self.state).provider.clone();
        let mut provider = None;
        // Reading the configuration may hang, too.
        let fetching = async {
            provider = match known {
                Some(provider) => Some(provider),
                None => (self.source)().await,
            };
            match &provider {
                Some(provider) => provider.provide_credentials().await,
                None => Err(CredentialsError::not_loaded_no_source()),
            }
        };
        let fetched = tokio::time::timeout(self.longest, fetching).await;
        let fetched = fetched.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(self.longest)));
        // The SDK does not look again at files that it has read.
        let is_to_read = matches!(
            fetched,
            Err(CredentialsError::InvalidConfiguration(_) | CredentialsError::CredentialsNotLoaded(_))
        );
        let mut state = lock(&self.state);
        state.provider = provider.filter(|_| !is_to_read);
        state.fetching = None;
        state.left = fetched.as_ref().ok().cloned();
        fetched.map_err(Arc::new)
    }
}

impl ProvideCredentials for Fetched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetched")
    }
}

/// Who has the credentials of this configuration. A profile that a URI names comes before
/// what the environment has: to the AWS tools as well, to the SDK not.
///
/// # Errors
/// Misuse for FIPS endpoints then: the SDK takes no such wish here, and a role of the profile
/// would be asked for elsewhere.
pub(super) fn provider(
    config: &SdkConfig,
    profile: Option<&str>,
) -> Result<Option<SharedCredentialsProvider>> {
    let is_in_the_environment = std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
    let Some(profile) = profile.filter(|_| is_in_the_environment) else {
        return Ok(config.credentials_provider());
    };
    if config.use_fips() == Some(true) {
        let said = "aws-kms: profile= for FIPS endpoints, and credentials in the environment: unset AWS_ACCESS_KEY_ID";
        return Err(Error::misuse(said));
    }
    let own = ProviderConfig::without_region().with_http_client(http_client());
    let own = own.with_region(config.region().cloned());
    let named = ProfileFileCredentialsProvider::builder().configure(&own).profile_name(profile).build();
    Ok(Some(SharedCredentialsProvider::new(named)))
}

fn is_good(credentials: &Credentials) -> bool {
    credentials.expiry().is_none_or(|until| SystemTime::now() < until)
}

/// Errors of credentials cannot be cloned. What they wrap is told to nobody.
fn same(error: &CredentialsError) -> CredentialsError {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => CredentialsError::not_loaded_no_source(),
        CredentialsError::InvalidConfiguration(_) => CredentialsError::invalid_configuration("the profile"),
        CredentialsError::ProviderTimedOut(_) => CredentialsError::provider_timed_out(LONGEST),
        _ => CredentialsError::provider_error("what provides them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kek::{OutagePolicy, on_tokio::on_io},
        rt::wait,
    };
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// Does each time what stands next.
    #[derive(Clone, Debug)]
    struct Script(&'static [&'static str], Arc<AtomicU64>);

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let what = self.0[self.1.fetch_add(1, SeqCst) as usize];
                let until = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
                match what {
                    "hangs" => std::future::pending().await,
                    "panics" => panic!("on purpose"),
                    "fails" => return Err(CredentialsError::provider_error("no")),
                    "slow" | "slow and expired" => tokio::time::sleep(Duration::from_millis(50)).await,
                    _ => {}
                }
                let expiry = if what.contains("expired") { until(1) } else { until(1 << 40) };
                Ok(Credentials::new(what, "x", None, expiry, "test"))
            })
        }
    }

    fn fetched(script: &'static [&'static str], longest: u64) -> Fetched {
        let script = SharedCredentialsProvider::new(Script(script, Arc::default()));
        let source = move || -> BoxFuture<'static, _> { Box::pin(std::future::ready(Some(script.clone()))) };
        Fetched::within(Duration::from_millis(longest), Box::new(source))
    }

    /// Whose they are, or what is wrong; given up after so many milliseconds.
    fn get(fetched: &Fetched, most: u64) -> String {
        let fetched = fetched.clone();
        let get = async move {
            let got = tokio::time::timeout(Duration::from_millis(most), fetched.get()).await;
            Ok(got.map_or("given up".into(), |got| match got {
                Ok(credentials) => credentials.access_key_id().to_owned(),
                Err(e) => format!("{e:?}").split('(').next().unwrap_or_default().to_owned(),
            }))
        };
        wait(on_io(get)).unwrap()
    }

    #[test]
    fn it_is_told_before_the_call_is_over_which_would_not_tell() {
        assert!(PATIENCE < OutagePolicy::default().call_timeout);
    }

    #[test]
    fn what_hangs_or_panics_is_begun_anew() {
        let fetched = fetched(&["hangs", "panics", "fails", "right"], 100);
        assert_eq!(get(&fetched, 10), "given up");
        assert_eq!(get(&fetched, 20_000), "ProviderTimedOut");
        assert_eq!(get(&fetched, 20_000), "ProviderError");
        assert_eq!(get(&fetched, 20_000), "ProviderError");
        assert_eq!(get(&fetched, 20_000), "right");
    }

    #[test]
    fn a_configuration_that_hangs_is_read_anew() {
        let (script, read) = (Script(&["right"], Arc::default()), AtomicU64::new(0));
        let source = move || -> BoxFuture<'static, _> {
            match read.fetch_add(1, SeqCst) {
                0 => Box::pin(std::future::pending()),
                _ => Box::pin(std::future::ready(Some(SharedCredentialsProvider::new(script.clone())))),
            }
        };
        let fetched = Fetched::within(Duration::from_millis(100), Box::new(source));
        assert_eq!(get(&fetched, 20_000), "ProviderTimedOut");
        assert_eq!(get(&fetched, 20_000), "right");
    }

    #[test]
    fn what_nobody_waited_for_is_the_next_ones_unless_it_has_expired() {
        for (script, next) in [(&["slow", "right"], "slow"), (&["slow and expired", "right"], "right")] {
            let fetched = fetched(script, 60_000);
            assert_eq!(get(&fetched, 1), "given up");
            while lock(&fetched.0.state).left.is_none() {
                std::thread::yield_now();
            }
            assert_eq!(get(&fetched, 20_000), next);
            assert!(lock(&fetched.0.state).left.is_none());
        }
    }
}
