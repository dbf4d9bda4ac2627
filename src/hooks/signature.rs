//! Signatures of deliveries, as Standard Webhooks has them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). Pure.

use crate::access::Secret;
use aws_lc_rs::hmac;
use data_encoding::BASE64;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may know either of two. Empty without secrets.
pub(super) fn signatures(secrets: &[Secret], id: &str, timestamp: u64, body: &[u8]) -> String {
    let sign = |secret: &Secret| {
        let key = BASE64.decode(secret.expose().strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let text = [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &text);
        Some(format!("v1,{}", BASE64.encode(tag.as_ref())))
    };
    secrets.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference libraries.
    #[test]
    fn it_is_that_of_the_reference() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = b"{\"test\": 2432232314}";
        let expect = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(
            signatures(std::slice::from_ref(&secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            expect
        );
        let both = signatures(&[secret.clone(), secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(both, format!("{expect} {expect}"));
        assert_eq!(signatures(&[], "1", 1, body), "");
    }
}
