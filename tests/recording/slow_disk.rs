//! A disk that stands still: the calls go on as if there were no recording.

use std::{
    fs::File,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    thread::JoinHandle,
    time::Duration,
};

use callbox::{
    base::{audio::Codec, terms::Agreed},
    media::{Config, MediaEvent, MediaEvents, MediaHandle, MediaPlane, SessionConfig},
};
use tokio::time::timeout;

use crate::{PROCESS, decoded, run};

const PATIENCE: Duration = Duration::from_secs(60);

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

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_their_pace_while_the_disk_stands_still() {
    let _alone = PROCESS.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { bind: Ipv4Addr::LOCALHOST.into(), recording_queue: 4, ..Config::default() };
    let plane = MediaPlane::start(config).unwrap();
    let [(alice, mut to_alice), (bob, mut to_bob)] = pair(&plane);
    let mut disk = Standstill::at(dir.path().join("stuck.ogg.part"));
    let kept = dir.path().join("kept.ogg");
    let stuck = alice.record(dir.path().join("stuck.ogg")).unwrap();
    ticks(&mut to_alice, 10).await;
    let whole = bob.record(kept.clone()).unwrap();
    // Six seconds of two calls are 24 blocks, and four may wait.
    tokio::join!(ticks(&mut to_alice, 300), ticks(&mut to_bob, 300));
    let before = [alice.stats().await.unwrap(), bob.stats().await.unwrap()];
    disk.ends();
    ticks(&mut to_bob, 100).await;
    alice.close();
    bob.close();
    let stuck = timeout(PATIENCE, stuck.summary()).await.unwrap().unwrap();
    let summary = timeout(PATIENCE, whole.summary()).await.unwrap().unwrap();
    for stats in before {
        assert_eq!((stats.lost, stats.late, stats.events_lost), (0, 0, 0), "{stats:?}");
        assert!(stats.packets_sent >= 300, "{stats:?}");
    }
    let lost = [&stuck, &summary].map(|summary| summary.dropped());
    assert!(lost.iter().all(|lost| *lost >= Duration::from_secs(3)), "{lost:?}");
    // Both sides are silent where blocks were dropped, and nothing moved.
    let [left, right] = decoded(&kept, 8_000);
    assert_eq!(left.len(), right.len());
    let seconds = Duration::from_secs_f64(left.len() as f64 / 8_000.0);
    assert!(seconds.abs_diff(summary.duration) <= Duration::from_millis(20), "{seconds:?} {summary:?}");
    assert!(seconds >= Duration::from_secs(7), "{seconds:?}");
}
