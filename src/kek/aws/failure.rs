//! What AWS, the network or the credentials said, as an error that can be acted on.
//!
//! Of AWS's own message nothing is passed on: it names accounts and principals. Nor is the
//! SDK's error kept as a source, which shows requests and replies.
use super::guard::TooMuch;
use crate::{Error, ErrorKind};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::{
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_runtime_api::http::Response;
use rustls::CertificateError;
use std::{
    error::Error as StdError,
    io,
    time::{Duration, SystemTime},
};

/// What was asked, and of whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'static str,
    pub(super) region: &'a str,
}

/// What a code of AWS means for the caller.
type Meaning = (ErrorKind, &'static str);

use ErrorKind::{BadReply, Denied, Limit, Misuse, Unavailable};

const BAD_SIGNATURE: &str = "the signature was refused: the secret access key is not that access key's";

/// AWS's codes, those of KMS and those that all services have.
const CODES: &[(&[&str], Meaning)] = &[
    (
        &["AccessDeniedException", "AccessDenied", "NotAuthorized"],
        (
            Denied,
            "no permission: allow this call to these credentials, in the IAM policy and in the key's policy",
        ),
    ),
    (
        &["NotFoundException"],
        (Denied, "no such key or alias there: look at the name and at the region (region=, AWS_REGION)"),
    ),
    (
        &["DisabledException"],
        (Denied, "the key is disabled: enable it, or have records rewrapped under another"),
    ),
    (
        &["KMSInvalidStateException", "InvalidKeyState"],
        (
            Denied,
            "the key cannot be used in its state: if its deletion is pending, cancel that and enable it",
        ),
    ),
    (
        &["ExpiredTokenException", "ExpiredToken", "TokenRefreshRequired"],
        (Denied, "the AWS credentials have expired: renew them, as by aws sso login"),
    ),
    (
        &[
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "OptInRequired",
            "SubscriptionRequiredException",
        ],
        (Denied, "AWS does not know these credentials: look at the access key, the profile and the region"),
    ),
    (
        &[
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "RequestInTheFuture",
        ],
        (Denied, BAD_SIGNATURE),
    ),
    (
        &["InvalidGrantTokenException", "InvalidGrantToken"],
        (Denied, "a grant token is not valid (grant-token=): the grant was retired, or is another key's"),
    ),
    (&["InvalidKeyUsageException"], (Misuse, "the key is none for symmetric encryption: name one that is")),
    (&["InvalidArnException", "InvalidArn"], (Misuse, "AWS KMS takes no such ARN")),
    (&["UnsupportedOperationException"], (Misuse, "this key does not support the call")),
    (
        &["ValidationException", "ValidationError"],
        (Limit, "AWS KMS takes no such request: an encryption context that is too large, most likely"),
    ),
    (
        &[
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "LimitExceededException",
            "SlowDown",
        ],
        (
            Unavailable,
            "throttled: too many calls for the account's quota; reuse DEKs longer, or ask AWS for more",
        ),
    ),
    (&["KeyUnavailableException"], (Unavailable, "the key is not available for now")),
    (
        &["DependencyTimeoutException", "KMSInternalException", "InternalFailure", "InternalServerError"],
        (Unavailable, "AWS KMS failed"),
    ),
    (&["ServiceUnavailable", "ServiceUnavailableException"], (Unavailable, "AWS KMS is unavailable")),
];
/// The state of the key, whatever is asked of it.
const OF_THE_KEY: &[&str] =
    &["DisabledException", "KMSInvalidStateException", "InvalidKeyState", "KeyUnavailableException"];
/// Wrong key, ciphertext or context: which of them, nobody is told.
const NOT_AUTHENTIC: &[&str] = &["InvalidCiphertextException", "IncorrectKeyException"];
/// A clock that is off by more makes signatures be refused.
const MOST_SKEW: Duration = Duration::from_secs(240);

/// The error for what the SDK says.
pub(super) fn failed<E>(error: SdkError<E, Response>, asked: Asked<'_>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match &error {
        SdkError::ServiceError(e) => refused(e.err().code(), e.raw(), asked),
        SdkError::ResponseError(e) if e.raw().status().is_success() => {
            let (kind, said) = match find::<TooMuch>(&error) {
                Some(_) => (BadReply, "the reply is longer or deeper than any of AWS KMS's"),
                None => (Unavailable, "the reply ended early, or was garbled"),
            };
            told(kind, said, asked, Some(e.raw()), None)
        }
        SdkError::ResponseError(e) => refused(None, e.raw(), asked),
        SdkError::TimeoutError(_) => told(Unavailable, "no answer in time", asked, None, None),
        SdkError::DispatchFailure(e) => {
            let (kind, said) = e.as_connector_error().map_or((Unavailable, NOT_REACHED.into()), not_reached);
            told(kind, &said, asked, None, None)
        }
        _ => told(Misuse, "the request could not be made of this configuration", asked, None, None),
    }
}

/// AWS answered, and it was no.
fn refused(code: Option<&str>, raw: &Response, asked: Asked<'_>) -> Error {
    let code = code.filter(|c| (1..=64).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_alphanumeric()));
    if code.is_some_and(|code| NOT_AUTHENTIC.contains(&code)) {
        return Error::authentication();
    }
    let status = raw.status().as_u16();
    let known = code.and_then(|code| CODES.iter().find(|(codes, _)| codes.contains(&code)).map(|c| c.1));
    let (kind, said) = known.unwrap_or(match status {
        200..=299 => (BadReply, "the reply cannot be read"),
        429 => (Unavailable, "throttled"),
        408 | 500..=599 => (Unavailable, "AWS KMS, or a proxy before it, failed"),
        _ if code.is_some() => (Denied, "AWS KMS refused the call"),
        _ => (BadReply, "an answer that is not AWS KMS's: look at the endpoint and at proxies"),
    });
    let status = format!("HTTP {status}");
    let clock = clock(raw).filter(|_| said == BAD_SIGNATURE);
    let said = clock.as_deref().unwrap_or(said);
    let mut error = told(kind, said, asked, Some(raw), Some(code.unwrap_or(&status)));
    if code.is_some_and(|code| OF_THE_KEY.contains(&code)) {
        error = error.of_the_key();
    }
    match header(raw, "retry-after").and_then(|s| s.parse().ok()).filter(|_| kind == Unavailable) {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}

fn told(kind: ErrorKind, said: &str, asked: Asked<'_>, raw: Option<&Response>, code: Option<&str>) -> Error {
    let Asked { operation, region } = asked;
    let code = code.map(|code| format!(", {code}")).unwrap_or_default();
    let id = raw.and_then(|raw| header(raw, "x-amzn-requestid")).filter(|id| is_request_id(id));
    let id = id.map(|id| format!(", request {id}")).unwrap_or_default();
    Error::new(kind, format!("aws-kms: {said} (kms:{operation} in {region}{code}{id})"))
}

fn header<'a>(raw: &'a Response, name: &str) -> Option<&'a str> {
    raw.headers().get(name)
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What is wrong with this machine's clock, by the date of the reply.
fn clock(raw: &Response) -> Option<String> {
    let theirs = DateTime::from_str(header(raw, "date")?, DateTimeFormat::HttpDate).ok()?;
    let theirs = SystemTime::try_from(theirs).ok()?;
    let (off, way) = match SystemTime::now().duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let said = || format!("this machine's clock is {} s {way} AWS's: set it", off.as_secs());
    (off > MOST_SKEW).then(said)
}

const NOT_REACHED: &str = "AWS KMS could not be reached";

/// No request was answered: credentials, certificate, network.
fn not_reached(error: &ConnectorError) -> (ErrorKind, String) {
    if let Some(e) = find::<CredentialsError>(error) {
        let (kind, said) = no_credentials(e);
        return (kind, said.into());
    }
    if let Some(e) = find::<rustls::Error>(error) {
        return (Unavailable, format!("TLS: {}", certificate(e)));
    }
    if error.is_timeout() {
        return (Unavailable, format!("{NOT_REACHED} in time: look at the network and the endpoint"));
    }
    match find::<io::Error>(error) {
        // The system's resolver has errors of its own.
        Some(e) if e.raw_os_error().is_none() && !is_of_a_connection(e.kind()) => (
            Unavailable,
            format!("{NOT_REACHED}: its host name is not known; look at the region and the network"),
        ),
        Some(e) => {
            let of_the_system = e.raw_os_error().map(|code| io::Error::from_raw_os_error(code).to_string());
            let said = of_the_system.unwrap_or_else(|| e.kind().to_string());
            (Unavailable, format!("{NOT_REACHED}: {said}; look at the network and the endpoint"))
        }
        None if error.is_io() => (Unavailable, format!("{NOT_REACHED}: the connection ended")),
        None => (
            Unavailable,
            format!("{NOT_REACHED}: look at the endpoint; one of your own is neither FIPS nor dual-stack"),
        ),
    }
}

fn no_credentials(error: &CredentialsError) -> Meaning {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (
            Misuse,
            "no AWS credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give \
             the machine or the pod a role",
        ),
        CredentialsError::InvalidConfiguration(_) => (
            Misuse,
            "the AWS profile is not valid, or is one of `aws login`, which libkms does not know: look at \
                 AWS_PROFILE and ~/.aws/config",
        ),
        CredentialsError::ProviderTimedOut(_) => (
            Unavailable,
            "the AWS credentials could not be fetched in time: look at the login, the profile and the network",
        ),
        _ => {
            (Unavailable, "the AWS credentials could not be fetched: renew the login, or look at the profile")
        }
    }
}

fn certificate(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(error) = error else {
        return "the connection failed";
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the endpoint's certificate has expired, or this machine's clock is wrong; nothing was sent"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the endpoint's certificate is another host's; nothing was sent"
        }
        CertificateError::UnknownIssuer => {
            "the endpoint's certificate is of an unknown issuer; nothing was sent"
        }
        _ => "the endpoint's certificate is not valid; nothing was sent",
    }
}

fn is_of_a_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::*;
    [ConnectionRefused, ConnectionReset, ConnectionAborted, BrokenPipe, UnexpectedEof, TimedOut]
        .contains(&kind)
}

/// The first error of this type among what caused `error`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an io::Error wraps is not its source but itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref());
        if let Some(found) = error.downcast_ref::<T>().or_else(|| wrapped?.downcast_ref::<T>()) {
            return Some(found);
        }
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::{error::ErrorMetadata, operation::decrypt::DecryptError};
    use aws_smithy_runtime_api::http::StatusCode;

    fn of(code: &str) -> Error {
        let response = Response::new(StatusCode::try_from(400).unwrap(), "".into());
        let error = DecryptError::generic(ErrorMetadata::builder().code(code).build());
        failed(
            SdkError::service_error(error, response),
            Asked { operation: "Decrypt", region: "eu-central-1" },
        )
    }

    #[test]
    fn the_state_of_a_key_is_told_from_a_refusal() {
        for (code, is_its_state) in [
            ("DisabledException", true),
            ("KMSInvalidStateException", true),
            ("KeyUnavailableException", true),
            ("AccessDeniedException", false),
            ("NotFoundException", false),
            ("IncorrectKeyException", false),
            ("ThrottlingException", false),
        ] {
            assert_eq!(of(code).is_of_the_key(), is_its_state, "{code}");
        }
    }

    #[test]
    fn f35_a_code_that_is_none_is_not_repeated() {
        for bad in ["a b", "<script>", "", "\u{1b}[2J", &"A".repeat(65)] {
            let said = of(bad).to_string();
            assert!(bad.is_empty() || !said.contains(bad), "{said}");
        }
    }
}
