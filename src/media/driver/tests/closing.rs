//! What is closed says goodbye and leaves nothing.

use super::*;
use crate::media::rtcp::Reports;

/// Whether a goodbye comes, behind whatever reports.
async fn goodbye(rtcp: &tokio::net::UdpSocket) {
    let mut bytes = [0; 500];
    let search = async {
        loop {
            let length = rtcp.recv(&mut bytes).await.unwrap();
            if !Reports::parse(&bytes[..length]).unwrap().goodbyes.is_empty() {
                return;
            }
        }
    };
    timeout(LIMIT, search).await.expect("a goodbye comes");
}

pub async fn a_leg_that_closes_says_goodbye(sockets: SocketMode) {
    let plane = plane(sockets);
    let (rtp, rtcp) = far_end();
    let (handle, _events) = plane.reserve().unwrap().start(config(rtp.local_addr().unwrap())).unwrap();
    timeout(LIMIT, rtcp.recv(&mut [0; 500])).await.expect("a report comes").unwrap();
    handle.close();
    goodbye(&rtcp).await;
}

pub async fn a_leg_that_is_closed_does_first_what_it_was_told_before(sockets: SocketMode) {
    let plane = plane(sockets);
    for _ in 0..50 {
        let (leg, _unread) = plane.reserve().unwrap().start(config((Ipv4Addr::LOCALHOST, 9).into())).unwrap();
        let stats = leg.stats();
        leg.close();
        assert!(timeout(LIMIT, stats).await.unwrap().is_ok());
    }
}

pub async fn a_plane_that_shuts_down_says_goodbye(sockets: SocketMode) {
    let plane = plane(sockets);
    let (rtp, rtcp) = far_end();
    let (_handle, _events) = plane.reserve().unwrap().start(config(rtp.local_addr().unwrap())).unwrap();
    timeout(LIMIT, rtcp.recv(&mut [0; 500])).await.expect("a report comes").unwrap();
    tokio::task::spawn_blocking(move || drop(plane)).await.unwrap();
    goodbye(&rtcp).await;
}

pub async fn dropping_every_handle_closes_the_leg(sockets: SocketMode) {
    let plane = plane(sockets);
    let [(alice, mut from_bob), (bob, mut from_alice)] = pair(&plane);
    let another = alice.clone();
    drop(alice);
    received(&mut from_alice, 5).await;
    drop(another);
    timeout(LIMIT, async { while from_bob.recv().await.is_some() {} }).await.expect("the events end");
    bob.close();
    timeout(LIMIT, async { while from_alice.recv().await.is_some() {} }).await.expect("the events end");
    // The threads count a leg out after its last event.
    let counted_out = async {
        while plane.legs() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, counted_out).await.expect("no leg is left");
    assert!(matches!(bob.play(A, vec![0; 160]), Err(MediaError::Closed)));
    assert!(matches!(bob.stats().await, Err(MediaError::Closed)));
}

pub async fn dropping_the_plane_completes_recordings(sockets: SocketMode) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let plane = plane(sockets);
    let [(alice, mut from_bob), _bob] = pair(&plane);
    let recorded = alice.record(path.clone()).unwrap();
    received(&mut from_bob, 30).await;
    tokio::task::spawn_blocking(move || drop(plane)).await.unwrap();
    assert!(hound::WavReader::open(&path).unwrap().duration() >= 20 * 160);
    let summary = timeout(LIMIT, recorded.summary()).await.unwrap().unwrap();
    assert_eq!(summary.path, path);
    assert!(matches!(alice.record(path), Err(MediaError::Closed)));
}

pub async fn a_thread_that_has_ended_takes_no_more_legs(sockets: SocketMode) {
    let plane = threaded(sockets, 2);
    let end = async |n: usize| {
        let worker: &WorkerThread = &plane.workers[n];
        worker.inbox.send(ToWorker::Shutdown).unwrap();
        let ended = async {
            while worker.is_alive() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, ended).await.expect("the thread ends");
    };
    end(0).await;
    assert_eq!((plane.running_threads(), plane.threads()), (1, 2));
    let [(alice, _from_bob), (_bob, mut from_alice)] = pair(&plane);
    alice.play(A, vec![9_000; 8_000]).unwrap();
    assert!(received(&mut from_alice, 20).await.iter().any(|sample| *sample > 5_000));
    end(1).await;
    assert!(matches!(plane.reserve(), Err(MediaError::Ended)));
}
