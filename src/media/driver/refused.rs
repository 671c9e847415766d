//! Packets that SRTP refused, in the metrics: a rise is a wrong key, or somebody who tries.

use crate::media::MediaStats;

/// Counts those of a session that is over.
pub(super) fn count(stats: &MediaStats) {
    let reasons = [("unauthenticated", stats.unauthenticated), ("replayed", stats.replayed)];
    for (why, packets) in reasons.into_iter().filter(|_| stats.encrypted) {
        metrics::counter!("callbox_srtp_refused_total", "why" => why).increment(packets);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn refused_packets_are_counted_by_reason() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let stats = MediaStats { encrypted: true, unauthenticated: 3, replayed: 2, ..MediaStats::default() };
        metrics::with_local_recorder(&recorder, || {
            count(&stats);
            count(&stats);
            count(&MediaStats::default());
        });
        let page = recorder.handle().render();
        for line in [r#"callbox_srtp_refused_total{why="unauthenticated"} 6"#, r#"{why="replayed"} 4"#] {
            assert!(page.contains(line), "{page}");
        }
    }
}
