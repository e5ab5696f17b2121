//! What requests show in logs, and which replies are read to their end.
use aws_sdk_kms::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut},
    },
    error::BoxError,
};
use aws_smithy_types::body::SdkBody;
use http_body::{Body, Frame, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// KMS's longest replies have some 10 KiB.
const MOST_BYTES: usize = 256 * 1024;
/// They have four objects and arrays in each other.
const MOST_DEPTH: usize = 32;

/// Between the SDK and the wire.
#[derive(Debug)]
pub(super) struct Guard;

impl Intercept for Guard {
    fn name(&self) -> &'static str {
        "libkms"
    }

    /// The SDK logs requests as they go out, and an Encrypt holds a DEK: a body behind a
    /// trait is not shown.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        replace(context.request_mut().body_mut(), SdkBody::from_body_1_x);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bounded = |body| SdkBody::from_body_1_x(Bounded { body, bytes: 0, json: Json::default() });
        replace(context.response_mut().body_mut(), bounded);
        Ok(())
    }
}

fn replace(body: &mut SdkBody, by: impl FnOnce(SdkBody) -> SdkBody) {
    let own = std::mem::replace(body, SdkBody::taken());
    *body = by(own);
}

/// A reply that no KMS gives.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reply that is too long, or too deep")
    }
}

impl Error for TooMuch {}

/// A reply's body. The SDK reads it to its end, wherever that is, and passes over what it
/// does not know by recursion, which must not take the whole stack.
struct Bounded {
    body: SdkBody,
    bytes: usize,
    json: Json,
}

impl Body for Bounded {
    type Data = <SdkBody as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|f| f.as_ref().ok()).and_then(Frame::data_ref);
        let (bytes, depth) = data.map_or((0, 0), |data| (data.len(), self.json.deepest(data)));
        self.bytes += bytes;
        let is_too_much = self.bytes > MOST_BYTES || depth > MOST_DEPTH;
        Poll::Ready(if is_too_much { Some(Err(TooMuch.into())) } else { frame })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

/// Where in a text of JSON one is.
#[derive(Default)]
struct Json {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl Json {
    /// How many arrays and objects are in each other at most, in what comes next.
    fn deepest(&mut self, text: &[u8]) -> usize {
        text.iter().map(|&byte| self.then(byte)).max().unwrap_or(0)
    }

    fn then(&mut self, byte: u8) -> usize {
        let was_escaped = std::mem::take(&mut self.is_escaped);
        match byte {
            b'"' if !was_escaped => self.is_in_string = !self.is_in_string,
            b'\\' if self.is_in_string => self.is_escaped = !was_escaped,
            b'[' | b'{' if !self.is_in_string => self.depth += 1,
            b']' | b'}' if !self.is_in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth
    }
}
