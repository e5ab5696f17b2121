//! What requests show in logs.
use aws_sdk_kms::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};
use aws_smithy_types::body::SdkBody;

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
        let body = context.request_mut().body_mut();
        *body = SdkBody::from_body_1_x(std::mem::replace(body, SdkBody::taken()));
        Ok(())
    }
}
