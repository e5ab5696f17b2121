//! Messages that hold keys.
use super::generated::{v1beta1, v2};
use zeroize::Zeroize;

// What a client or a server holds of a message is wiped when that is dropped; what the transport
// holds of it is not.
impl Drop for v2::EncryptRequest {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

impl Drop for v2::DecryptResponse {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

impl Drop for v1beta1::EncryptRequest {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}

impl Drop for v1beta1::DecryptResponse {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}
