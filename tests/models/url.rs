use callbox::models::{ModelError, Outcome};

use crate::{Bench, noise, origin::Origin, sha256};

const LENGTH: usize = 300_000;

fn bench(origin: &Origin, path: &str, content: &[u8]) -> Bench {
    let (url, hash) = (origin.url(path), sha256(content));
    Bench::new(&format!("size = {}\nsha256 = \"{hash}\"\nsources = [{{ url = \"{url}\" }}]", content.len()))
}

fn announced(origin: &Origin, path: &str) -> Bench {
    Bench::new(&format!("sources = [{{ url = \"{}\", sha256 = \"announced\" }}]", origin.url(path)))
}

#[tokio::test]
async fn cut_connection_is_resumed_where_it_broke() {
    let content = noise(1, LENGTH);
    let origin = Origin::serving(&content).await;
    origin.cut_after(100_000);
    let bench = bench(&origin, "m.bin", &content);
    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), content);
    let ranges = origin.ranges();
    assert_eq!(ranges[0], None);
    let start: usize = ranges[1].as_ref().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap();
    assert!((1..=100_000).contains(&start), "resumed at {start}");
    assert_eq!(bench.left(), ["m.bin", "models.lock"]);
}

#[tokio::test]
async fn later_pull_resumes_what_an_earlier_one_left() {
    let content = noise(2, LENGTH);
    let origin = Origin::serving(&content).await;
    origin.cut_after(100_000);
    let mut bench = bench(&origin, "m.bin", &content);
    bench.config.retries = 0;
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Http { .. }), "{error}");
    let left = bench.left();
    assert!(left.len() == 1 && left[0].starts_with("m.bin.") && left[0].ends_with(".part"), "{left:?}");
    assert!(bench.store().resolve("m").is_err());

    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), content);
    assert!(origin.ranges()[1].is_some());
    assert_eq!(bench.left(), ["m.bin", "models.lock"]);
}

#[tokio::test]
async fn part_of_an_older_file_is_given_up() {
    let (old, new) = (noise(3, LENGTH), noise(4, LENGTH));
    let origin = Origin::serving(&old).await;
    origin.cut_after(100_000);
    let mut bench = bench(&origin, "m.bin", &new);
    bench.config.retries = 0;
    bench.pull().await.unwrap_err();
    origin.replace(&new);
    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), new);
    assert_eq!(origin.ranges().last().unwrap(), &None);
}

#[tokio::test]
async fn silent_server_counts_as_a_cut_one() {
    let content = noise(5, LENGTH);
    let origin = Origin::serving(&content).await;
    origin.stall_once();
    let mut bench = bench(&origin, "m.bin", &content);
    bench.config.stall_timeout_s = 1;
    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), content);
    assert_eq!(origin.ranges().len(), 2);
}

#[tokio::test]
async fn server_that_cannot_resume_sends_everything_again() {
    let content = noise(6, LENGTH);
    let origin = Origin::serving(&content).await;
    origin.cut_after(100_000);
    let mut bench = bench(&origin, "m.bin", &content);
    bench.config.retries = 0;
    bench.pull().await.unwrap_err();
    // The same URL, now behind a server without ranges.
    let part = bench.left().remove(0);
    let plain = Origin::plain(&content).await;
    let hash = sha256(&content);
    bench.catalogue(&format!("sha256 = \"{hash}\"\nsources = [{{ url = \"{}\" }}]", plain.url("m.bin")));
    let digest = sha256(plain.url("m.bin").as_bytes());
    let renamed = bench.models().join(format!("m.bin.{}.part", &digest[..8]));
    std::fs::rename(bench.models().join(part), renamed).unwrap();
    bench.pull().await.unwrap();
    assert!(plain.ranges()[0].is_some());
    assert_eq!(bench.installed(), content);
}

#[tokio::test]
async fn wrong_hash_installs_nothing_and_leaves_nothing() {
    let origin = Origin::serving(&noise(7, LENGTH)).await;
    let bench = bench(&origin, "m.bin", &noise(8, LENGTH));
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    assert!(bench.left().is_empty());
}

#[tokio::test]
async fn file_of_another_size_is_refused_before_it_is_fetched() {
    let origin = Origin::serving(&noise(9, LENGTH)).await;
    let bench = bench(&origin, "m.bin", b"short");
    let error = bench.pull().await.unwrap_err().to_string();
    assert!(error.contains("offers 300000 bytes, the catalogue says 5"), "{error}");
}

#[tokio::test]
async fn endless_file_stops_at_its_limit() {
    let origin = Origin::plain(&noise(10, LENGTH)).await;
    let mut bench = announced(&origin, "m.bin");
    bench.catalogue(&format!("sources = [{{ url = \"{}\", sha256 = \"first-use\" }}]", origin.url("m.bin")));
    bench.config.max_file_bytes = 10_000;
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::TooLarge { limit: 10_000, .. }), "{error}");
    assert!(bench.left().is_empty());
}

#[tokio::test]
async fn announced_hash_is_taken_from_the_redirect_and_pinned() {
    let content = noise(11, LENGTH);
    let origin = Origin::announcing(&content, "x-linked-etag", &format!("\"{}\"", sha256(&content))).await;
    let bench = announced(&origin, "moved");
    bench.pull().await.unwrap();
    let lock = std::fs::read_to_string(bench.models().join("models.lock")).unwrap();
    assert!(lock.contains(&sha256(&content)), "{lock}");
    assert_eq!(bench.pull().await.unwrap().outcome, Outcome::Present);
}

#[tokio::test]
async fn pinned_file_may_not_change() {
    let content = noise(12, LENGTH);
    let origin = Origin::serving(&content).await;
    let source = format!("sources = [{{ url = \"{}\", sha256 = \"first-use\" }}]", origin.url("m.bin"));
    let bench = Bench::new(&source);
    bench.pull().await.unwrap();
    std::fs::remove_file(bench.models().join("m.bin")).unwrap();
    origin.replace(&noise(13, LENGTH));
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::PinBroken { .. }), "{error}");
    assert_eq!(bench.left(), ["models.lock"]);
}

#[tokio::test]
async fn source_without_an_announcement_is_refused() {
    let content = noise(14, LENGTH);
    for origin in
        [Origin::serving(&content).await, Origin::announcing(&content, "etag", "\"not-a-digest\"").await]
    {
        let error = announced(&origin, "m.bin").pull().await.unwrap_err();
        assert!(matches!(error, ModelError::NotAnnounced { .. }), "{error}");
    }
}

#[tokio::test]
async fn false_announcement_is_a_wrong_hash() {
    let origin = Origin::announcing(&noise(15, LENGTH), "etag", &sha256(b"something else")).await;
    let bench = announced(&origin, "m.bin");
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    assert!(bench.left().is_empty());
}

#[tokio::test]
async fn second_source_serves_when_the_first_is_gone() {
    let content = noise(16, LENGTH);
    let origin = Origin::serving(&content).await;
    let sources = format!(
        "sha256 = \"{}\"\nsources = [{{ url = \"{}\" }}, {{ url = \"{}\" }}, {{ url = \"{}\" }}]",
        sha256(&content),
        origin.url("gone"),
        origin.url("busy"),
        origin.url("m.bin")
    );
    let outcome = Bench::new(&sources).pull().await.unwrap().outcome;
    assert_eq!(outcome, Outcome::Fetched(origin.url("m.bin")));
}

#[tokio::test]
async fn every_failed_source_is_named() {
    let origin = Origin::serving(b"").await;
    let (gone, busy) = (origin.url("gone"), origin.url("busy"));
    let sources =
        format!("sha256 = \"{}\"\nsources = [{{ url = \"{gone}\" }}, {{ url = \"{busy}\" }}]", sha256(b"x"));
    let error = Bench::new(&sources).pull().await.unwrap_err().to_string();
    assert!(error.contains(&format!("{gone}: 404")) && error.contains(&format!("{busy}: 503")), "{error}");
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let content = noise(17, LENGTH);
    let origin = Origin::serving(&content).await;
    let bench = bench(&origin, "m.bin", &content);
    let (one, two) = tokio::join!(bench.pull(), bench.pull());
    let outcomes = [one.unwrap().outcome, two.unwrap().outcome];
    assert_eq!(outcomes.iter().filter(|o| **o == Outcome::Present).count(), 1, "{outcomes:?}");
    assert_eq!(origin.ranges().len(), 1);
    assert_eq!(bench.installed(), content);
}

#[tokio::test]
async fn damaged_file_is_replaced_and_leftovers_are_swept() {
    let content = noise(18, LENGTH);
    let origin = Origin::serving(&content).await;
    let bench = bench(&origin, "m.bin", &content);
    bench.pull().await.unwrap();
    let damaged = bench.models().join("m.bin");
    std::fs::write(&damaged, noise(19, LENGTH)).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    std::fs::File::options().write(true).open(&damaged).unwrap().set_modified(later).unwrap();
    std::fs::write(bench.models().join(".m.bin.4711.tmp"), b"of a killed process").unwrap();
    assert!(matches!(bench.pull().await.unwrap().outcome, Outcome::Fetched(_)));
    assert_eq!(bench.installed(), content);
    assert_eq!(bench.left(), ["m.bin", "models.lock"]);
}

#[tokio::test]
async fn offline_store_fetches_nothing() {
    let origin = Origin::serving(b"x").await;
    let mut bench = bench(&origin, "m.bin", b"x");
    bench.config.offline = true;
    assert!(matches!(bench.pull().await.unwrap_err(), ModelError::Offline { .. }));
    assert!(origin.ranges().is_empty());
}
