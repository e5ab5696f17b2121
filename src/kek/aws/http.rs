//! The HTTP client of KEKs that a URI opens.
use aws_sdk_kms::config::SharedHttpClient;
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use std::sync::OnceLock;

/// One for the process: its connections live on the I/O thread, which does not end.
pub(super) fn http_client() -> SharedHttpClient {
    static CLIENT: OnceLock<SharedHttpClient> = OnceLock::new();
    let make = || {
        let (https, plain) = (https(), Builder::new().build_http());
        http_client_fn(move |settings, components| {
            let of = |client: &SharedHttpClient| client.http_connector(settings, components);
            SharedHttpConnector::new(Route { https: of(&https), plain: of(&plain) })
        })
    };
    CLIENT.get_or_init(make).clone()
}

fn https() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

/// Proxies are for TLS alone. In plain text a machine or a container is asked for its
/// credentials: a proxy would read them, and is not where they are.
#[derive(Debug)]
struct Route {
    https: SharedHttpConnector,
    plain: SharedHttpConnector,
}

impl HttpConnector for Route {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_plain = request.uri().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        if is_plain { self.plain.call(request) } else { self.https.call(request) }
    }
}
