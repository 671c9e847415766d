//! A disk that stands still: the calls go on as if there were no recording.

use std::{
    fs::File,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use callbox::{
    base::{audio::Codec, terms::Agreed},
    media::{Config, MediaEvent, MediaEvents, MediaHandle, MediaPlane, MediaStats, SessionConfig},
};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{PROCESS, decoded, run};

const PATIENCE: Duration = Duration::from_secs(60);
/// Packets of a leg while the disk stands still: six seconds of two calls are 24 blocks, and four may wait.
const MEANWHILE: usize = 300;

/// A file whose writer stands still until somebody reads it.
struct Standstill {
    pipe: PathBuf,
    reader: Option<JoinHandle<()>>,
}

impl Standstill {
    fn at(pipe: PathBuf) -> Self {
        run("coreutils", Command::new("mkfifo").arg(&pipe));
        Standstill { pipe, reader: None }
    }

    fn ends(&mut self) {
        let pipe = self.pipe.clone();
        let read = move || drop(File::open(pipe).unwrap().read_to_end(&mut Vec::new()));
        self.reader.get_or_insert_with(|| std::thread::spawn(read));
    }
}

/// A test that fails must not leave the recorder waiting, nor this process.
impl Drop for Standstill {
    fn drop(&mut self) {
        self.ends();
    }
}

fn session(remote: SocketAddr) -> SessionConfig {
    let eventless = Agreed { telephone_event: None, ..Agreed::usual(Codec::Pcmu, remote) };
    eventless.begin(Default::default(), PATIENCE, remote.port().into())
}

fn pair(plane: &MediaPlane) -> [(MediaHandle, MediaEvents); 2] {
    let (a, b) = (plane.reserve().unwrap(), plane.reserve().unwrap());
    let (to_a, to_b) = (a.local_addr(), b.local_addr());
    [a.start(session(to_b)).unwrap(), b.start(session(to_a)).unwrap()]
}

/// Waits for so many ticks of a leg.
async fn ticks(events: &mut MediaEvents, count: usize) {
    let all = async {
        let mut seen = 0;
        while seen < count {
            let event = events.recv().await.expect("the leg lives");
            seen += usize::from(matches!(event, MediaEvent::Frame { .. }));
        }
    };
    timeout(PATIENCE, all).await.expect("the leg ticks on");
}

fn plane() -> MediaPlane {
    let bind = Ipv4Addr::LOCALHOST.into();
    MediaPlane::start(Config { threads: 1, bind, recording_queue: 4, ..Config::default() }).unwrap()
}

/// What legs have done, once they get round to telling it.
fn stats<const N: usize>(legs: [&MediaHandle; N]) -> impl Future<Output = [MediaStats; N]> + use<N> {
    let asked = legs.map(MediaHandle::stats);
    async {
        let told = timeout(PATIENCE, join_all(asked)).await.expect("the legs tick on");
        let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
        told.try_into().expect("as many as were asked")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_their_pace_while_the_disk_stands_still() {
    let _alone = PROCESS.lock().await;
    let dir = tempfile::tempdir().unwrap();
    // On the same machine at the same time, with a thread of their own: calls that are not recorded.
    let (plane, elsewhere) = (plane(), plane());
    let [(alice, mut to_alice), (bob, mut to_bob)] = pair(&plane);
    let [(other, mut to_other), _theirs] = pair(&elsewhere);
    let mut disk = Standstill::at(dir.path().join("stuck.ogg.part"));
    let kept = dir.path().join("kept.ogg");
    tokio::join!(ticks(&mut to_alice, 10), ticks(&mut to_bob, 10), ticks(&mut to_other, 10));
    let began = Instant::now();
    let [unrecorded] = stats([&other]).await;
    let stuck = alice.record(dir.path().join("stuck.ogg")).unwrap();
    let whole = bob.record(kept.clone()).unwrap();
    let both = async { tokio::join!(ticks(&mut to_alice, MEANWHILE), ticks(&mut to_bob, MEANWHILE)) };
    // Whoever waits for the disk is overtaken.
    tokio::select! {
        _ = both => {}
        () = ticks(&mut to_other, 2 * MEANWHILE) => {}
    }
    let during = stats([&alice, &bob, &other]);
    disk.ends();
    let stood = began.elapsed();
    let during = during.await;
    ticks(&mut to_bob, 100).await;
    let after = stats([&alice, &bob, &other]).await;
    alice.close();
    bob.close();
    let [.., reference] = during;
    let usual = reference.packets_sent - unrecorded.packets_sent;
    for stats in &during[..2] {
        assert_eq!((stats.lost, stats.late, stats.events_lost), (0, 0, 0), "{stats:?}");
        let sent = stats.packets_sent;
        assert!(sent >= MEANWHILE as u64, "{stats:?}");
        assert!(sent * 5 >= usual * 4, "{sent} packets, where an unrecorded call sent {usual}: {stats:?}");
    }
    for stats in &after[..2] {
        let [skipped, usual] = [stats, &after[2]].map(|stats| stats.skipped_ticks);
        let many = MEANWHILE as u64 / 10 + 3 * usual;
        assert!(skipped <= many, "{skipped} ticks are skipped, of an unrecorded call {usual}: {stats:?}");
        let late = stats.worst_lateness;
        assert!(late * 3 <= stood + 9 * after[2].worst_lateness, "{late:?} of {stood:?}: {stats:?}");
    }
    let stuck = timeout(PATIENCE, stuck.summary()).await.unwrap().unwrap();
    let summary = timeout(PATIENCE, whole.summary()).await.unwrap().unwrap();
    let lost = [&stuck, &summary].map(|summary| summary.dropped());
    assert!(lost.iter().all(|lost| *lost >= Duration::from_secs(3)), "{lost:?}");
    // Both sides are silent where blocks were dropped, and nothing moved.
    let [left, right] = decoded(&kept, 8_000);
    assert_eq!(left.len(), right.len());
    let seconds = Duration::from_secs_f64(left.len() as f64 / 8_000.0);
    assert!(seconds.abs_diff(summary.duration) <= Duration::from_millis(20), "{seconds:?} {summary:?}");
    assert!(seconds >= Duration::from_secs(7), "{seconds:?}");
}
