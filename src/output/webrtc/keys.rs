//! The keys of a session, which str0m's DTLS exports for str0m's SRTP: ours needs them too. They are copied where they pass, and
//! belong to the one session that they are of.

use super::srtp::{Keys, Profile, Side};
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use str0m::{
    Rtc, RtcConfig,
    config::{CryptoProvider, DtlsCert},
    crypto::{
        CryptoError,
        dtls::{
            DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial, ProtocolVersion,
            SrtpProfile,
        },
    },
};

thread_local! {
    /// Of the connection that this thread made last. A connection is made where its session is built, and by nothing else.
    static NEWEST: RefCell<Option<KeySlot>> = const { RefCell::new(None) };
}

/// Where the keys of one session are, once its handshake is over.
#[derive(Debug, Clone, Default)]
pub struct KeySlot(Arc<Mutex<Option<(Keys, Side)>>>);

impl KeySlot {
    /// Takes the keys out, with the side of the handshake that was ours.
    pub fn take(&self) -> Option<(Keys, Side)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, material: &KeyingMaterial, profile: SrtpProfile, side: Side) {
        let profile = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmSha1,
            SrtpProfile::AEAD_AES_128_GCM => Profile::Aes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => Profile::Aes256Gcm,
            _ => return,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Keys::new(profile, material).zip(Some(side));
    }
}

/// The cryptography of str0m, with a DTLS whose keys can be had from [`build`].
pub fn provider() -> CryptoProvider {
    CryptoProvider { dtls_provider: &Copying, ..str0m::crypto::from_feature_flags() }
}

/// Builds a session whose configuration has our [`provider`], and the place of its keys.
pub fn build(config: RtcConfig, now: Instant) -> (Rtc, KeySlot) {
    NEWEST.set(None);
    let rtc = config.build(now);
    (rtc, NEWEST.take().unwrap_or_default())
}

#[derive(Debug)]
struct Copying;

impl DtlsProvider for Copying {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = str0m::crypto::from_feature_flags().dtls_provider.new_dtls(certificate, now, version, mtu)?;
        let slot = KeySlot::default();
        NEWEST.set(Some(slot.clone()));
        Ok(Box::new(CopyingInstance { inner, slot }))
    }
}

#[derive(Debug)]
struct CopyingInstance {
    inner: Box<dyn DtlsInstance>,
    slot: KeySlot,
}

impl DtlsInstance for CopyingInstance {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.inner.poll_output(buffer);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let side = if self.inner.is_active() { Side::Client } else { Side::Server };
            self.slot.put(material, *profile, side);
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
