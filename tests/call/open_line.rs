//! Signalling and media of our own that anyone on this machine may call.

use std::time::Duration;

use callbox::media::{self, MediaPlane};
use callbox::sip::{self, IncomingCall, SipNode, Srtp, TrunkConfig};
use tokio::sync::mpsc;

use crate::tones::tone;

pub async fn open_line(srtp: Srtp) -> (SipNode, mpsc::Receiver<IncomingCall>, MediaPlane) {
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let anyone = TrunkConfig { allow, srtp, ..TrunkConfig::peer("caller", nowhere) };
    let config =
        sip::Config { bind: ([127, 0, 0, 1], 0).into(), trunks: vec![anyone], ..sip::Config::default() };
    let (sip, incoming) = SipNode::start(config).await.unwrap();
    let media = media::Config { bind: [127, 0, 0, 1].into(), ..media::Config::default() };
    (sip, incoming, MediaPlane::start(media).unwrap())
}

/// What one who speaks over it says: a tone, or silence at 0 Hz.
pub fn sound(hz: f64, length: Duration) -> Vec<i16> {
    tone(hz, length.as_millis() as usize * 8, 8_000)
}
