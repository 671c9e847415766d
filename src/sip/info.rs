//! Keys sent as INFO requests: `application/dtmf-relay`, as Cisco introduced it, and `application/dtmf`.

use std::time::Duration;

/// A key in an INFO body: `Signal=5` and `Duration=160` lines, or the key alone.
pub(super) fn dtmf(kind: &str, body: &str) -> Option<(char, Duration)> {
    const USUAL: u64 = 160;
    let is_key = |c: &char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D');
    let key = |text: &str| text.trim().to_ascii_uppercase().chars().next().filter(is_key);
    match kind.split(';').next()?.trim() {
        "application/dtmf" => Some((key(body)?, Duration::from_millis(USUAL))),
        "application/dtmf-relay" => {
            let field = |name: &str| {
                let mut fields = body.lines().filter_map(|line| line.split_once('='));
                fields.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
            };
            let duration =
                field("duration").and_then(|ms| ms.parse().ok()).unwrap_or(USUAL).clamp(10, 10_000);
            Some((key(field("signal")?)?, Duration::from_millis(duration)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_both_info_bodies() {
        let ms = Duration::from_millis;
        assert_eq!(dtmf("application/dtmf-relay", "Signal=5\r\nDuration=250\r\n"), Some(('5', ms(250))));
        assert_eq!(dtmf("application/dtmf-relay", "Signal= #\r\n"), Some(('#', ms(160))));
        assert_eq!(dtmf("application/dtmf", "d"), Some(('D', ms(160))));
        assert_eq!(dtmf("application/dtmf-relay", "Signal=x"), None);
        assert_eq!(dtmf("text/plain", "5"), None);
    }
}
