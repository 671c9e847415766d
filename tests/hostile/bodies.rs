pub fn sip(data: &[u8]) { let _ = data; }
pub fn sdp(data: &[u8]) { let _ = data; }
pub fn rtp(data: &[u8]) { let _ = data; }
pub fn rtcp(data: &[u8]) { let _ = data; }
pub fn dtmf(data: &[u8]) { let _ = data; }
pub fn tones(data: &[u8]) { let _ = data; }
pub fn jitter(data: &[u8]) { let _ = data; }
pub fn session(data: &[u8]) { let _ = data; }
