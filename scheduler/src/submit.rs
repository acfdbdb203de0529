//! `packshot submit`: a catalog becomes a batch that workers elsewhere make. Idempotent by
//! the batch's name: the same catalog and settings resume, other ones are refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use packshot_pipeline::ids::{BatchId, Digest};
use packshot_pipeline::manifest::{Batch, MANIFEST_SCHEMA, Settings};
use packshot_runtime::ports::Ports;
use packshot_runtime::store::Written;
use packshot_runtime::submit::open_batch;
use packshot_worker::telemetry::Instruments;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::intake::fetch::FetchLimits;
use crate::progress::Progress;
use crate::session;
use crate::submission::{Submission, Taken, other_content, take_in};

/// The option by which a batch remembers that only the first SKUs of its catalog belong to it.
const OPTION_LIMIT: &str = "limit";
/// Digits of the content's digest in a name that nobody gave.
const NAME_DIGITS: usize = 10;

/// What is submitted.
#[derive(Debug)]
pub struct SubmitRequest {
    /// Catalog file.
    pub catalog: PathBuf,
    /// Folder of local photos.
    pub images: Option<PathBuf>,
    /// Name; `None`: the catalog's file name and a digest of its content and the settings.
    pub batch: Option<String>,
    /// Only this many SKUs.
    pub limit: Option<usize>,
    /// What is wanted.
    pub wanted: Settings,
    /// Limits of fetching.
    pub fetch: FetchLimits,
    /// References of one SKU that are looked at.
    pub references_max: usize,
    /// Products entered at the same time.
    pub together: usize,
}

/// What came of a submission.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Receipt {
    /// The batch's name.
    pub batch: BatchId,
    /// What was taken in.
    #[serde(flatten)]
    pub taken: Taken,
    /// Whether the batch has come to rest already.
    pub ended: bool,
}

/// How a submission ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The batch is wholly there.
    Whole(Receipt),
    /// A signal came first; the same command goes on.
    Stopped(BatchId),
}

/// Submits.
pub async fn submit(
    request: &SubmitRequest,
    ports: &Ports,
    instruments: &Instruments,
    stop: &CancellationToken,
) -> Result<Submitted, Failure> {
    let catalog = session::open_catalog(&request.catalog, request.images.as_deref())?;
    let fresh = header(request, ports.clock.now_ms())?;
    let (header, resumes) = stand_by(ports, fresh).await?;
    let batch = header.batch.clone();
    let ended = ports.store().closed(&batch).await.map_err(environment)?.is_some_and(|closed| closed.closed);
    if !ended {
        open_batch(ports, &header).await.map_err(environment)?;
    }
    let mut progress = Progress::start(&catalog.describe(), "submitting");
    let submission = Submission {
        catalog: &request.catalog,
        images: request.images.as_deref(),
        limit: request.limit,
        fetch: request.fetch.clone(),
        references_max: request.references_max,
        together: request.together,
        workshop: None,
        resumes,
        creates_documents: !ended,
    };
    let taken = take_in(&submission, ports, instruments, &header, catalog, stop, &mut progress).await;
    progress.finish();
    Ok(match taken? {
        Some(taken) => Submitted::Whole(Receipt { batch, taken, ended }),
        None => Submitted::Stopped(batch),
    })
}

/// The batch as it would be if nobody had submitted it before.
fn header(request: &SubmitRequest, now_ms: u64) -> Result<Batch, Failure> {
    let catalog = digest(&request.catalog)?;
    let mut settings = request.wanted.clone();
    if let Some(limit) = request.limit {
        settings.options.insert(OPTION_LIMIT.to_owned(), limit.to_string());
    }
    let name = match &request.batch {
        Some(name) => name.clone(),
        None => own_name(&request.catalog, &catalog, &settings)?,
    };
    let batch = BatchId::new(&name).map_err(Failure::usage)?;
    Ok(Batch { schema: MANIFEST_SCHEMA, batch, created_ms: now_ms, catalog, settings })
}

/// The digest of a file of any size.
fn digest(path: &Path) -> Result<Digest, Failure> {
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.with_context(|| format!("cannot read the catalog {}", path.display())).map_err(Failure::usage)?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

/// A name that says which catalog it is and is the same for the same content, so that the same
/// command is the same batch.
fn own_name(path: &Path, catalog: &Digest, settings: &Settings) -> Result<String, Failure> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let content = serde_json::to_vec(&(catalog, of_content(settings))).map_err(Failure::environment)?;
    let digits = Digest::of(&content).to_hex();
    Ok(format!("{}-{}", stem.trim_matches('-'), &digits[..NAME_DIGITS]).trim_start_matches('-').to_owned())
}

/// The settings without what only says how the batch is handed out.
fn of_content(settings: &Settings) -> Settings {
    Settings { priority: 0, ..settings.clone() }
}

/// Writes the header down, or finds the one that stands and sees that it is about the same.
/// The second value says whether it stood.
async fn stand_by(ports: &Ports, fresh: Batch) -> Result<(Batch, bool), Failure> {
    let store = ports.store();
    let written = store.write_batch(&fresh).await.map_err(environment)?;
    if written == Written::New {
        return Ok((fresh, false));
    }
    let standing = store.batch(&fresh.batch).await.map_err(environment)?;
    let standing = standing
        .ok_or_else(|| environment(anyhow!("the manifest of {} cannot be read back", fresh.batch)))?;
    let same = [
        ("the catalog", standing.catalog == fresh.catalog),
        ("a setting", of_content(&standing.settings) == of_content(&fresh.settings)),
    ];
    match same.iter().find(|(_, same)| !same) {
        None => Ok((standing, true)),
        Some((what, _)) => Err(other_content(&standing, what)),
    }
}

fn environment(error: impl Into<anyhow::Error>) -> Failure {
    Failure::environment(error)
        .hint("once the cause is mended, run the same command again: it goes on from here")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use packshot_pipeline::policy::Policy;
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::Incarnation;
    use packshot_runtime::clock::MonotonicClock;
    use packshot_runtime::memory::{
        BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects,
    };

    use packshot_service::telemetry::Telemetry;
    use packshot_worker::work::OPTION_MATTING;

    use super::*;
    use crate::exit::Exit;

    fn untold(ports: &Ports) -> Instruments {
        Instruments::new(&Telemetry::off(), ports.objects.clone(), ports.clock.clone(), "memory")
    }

    struct Shop {
        folder: tempfile::TempDir,
        ports: Ports,
    }

    impl Shop {
        fn new(skus: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let shop = Shop {
                ports: Ports {
                    coordinator: Arc::new(MemoryCoordinator::new(Incarnation(1))),
                    ledger: Arc::new(MemoryLedger::new()),
                    objects: Arc::new(MemoryObjects::new(64 << 20)),
                    broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
                    clock: Arc::new(MonotonicClock::starting_at(5_000)),
                },
                folder,
            };
            let mut catalog = "sku,image,title\n".to_owned();
            for n in 0..skus {
                shop.paint(n, 1);
                catalog.push_str(&format!("s{n},{n}.png,Title {n}\n"));
            }
            std::fs::write(shop.folder.path().join("Autumn Sale.csv"), catalog + ",0.png,no SKU\n").unwrap();
            shop
        }

        fn paint(&self, n: usize, shade: u8) {
            let picture = image::RgbImage::from_pixel(4, 4, image::Rgb([n as u8, shade, 0]));
            let bytes = packshot_imaging::encode::png_rgb(&picture).unwrap();
            std::fs::write(self.folder.path().join(format!("{n}.png")), bytes).unwrap();
        }

        fn request(&self) -> SubmitRequest {
            SubmitRequest {
                catalog: self.folder.path().join("Autumn Sale.csv"),
                images: None,
                batch: None,
                limit: None,
                wanted: Settings {
                    roles: vec![Role::Main, Role::Detail],
                    channels: vec!["amazon".to_owned()],
                    policy: Policy::STANDARD,
                    priority: 10,
                    cost_max: None,
                    prices: BTreeMap::new(),
                    options: BTreeMap::new(),
                },
                fetch: FetchLimits::DEFAULT,
                references_max: 4,
                together: 3,
            }
        }

        async fn submit(&self, request: &SubmitRequest) -> Result<Receipt, Failure> {
            match submit(request, &self.ports, &untold(&self.ports), &CancellationToken::new()).await? {
                Submitted::Whole(receipt) => Ok(receipt),
                Submitted::Stopped(_) => panic!("nobody stopped it"),
            }
        }

        async fn keys(&self) -> BTreeSet<String> {
            self.ports.objects.list("batches/", None, 10_000).await.unwrap().into_iter().collect()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_submission_resumes_and_changes_nothing() {
        let shop = Shop::new(250);
        let first = shop.submit(&shop.request()).await.unwrap();
        assert_eq!(first.taken, Taken { skus: 250, jobs: 500, bad_rows: 1, resumed: 0 });
        assert!(first.batch.as_str().starts_with("autumn-sale-"), "{}", first.batch);
        let tally = shop.ports.coordinator.tally(&first.batch).await.unwrap();
        assert_eq!(tally.skus(), 250);
        let (keys, header) = (shop.keys().await, shop.ports.store().batch(&first.batch).await.unwrap());
        let again = shop.submit(&shop.request()).await.unwrap();
        assert_eq!(again.taken, Taken { resumed: 250, ..first.taken });
        assert_eq!(again.batch, first.batch);
        assert_eq!(shop.keys().await, keys);
        assert_eq!(shop.ports.store().batch(&first.batch).await.unwrap(), header);
        assert_eq!(shop.ports.coordinator.tally(&first.batch).await.unwrap(), tally);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_submission_goes_on_where_it_was() {
        let shop = Shop::new(250);
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = submit(&shop.request(), &shop.ports, &untold(&shop.ports), &stop).await.unwrap();
        let Submitted::Stopped(batch) = stopped else { panic!("{stopped:?}") };
        assert_eq!(shop.ports.store().submitted(&batch).await.unwrap(), None);
        let whole = shop.submit(&shop.request()).await.unwrap();
        assert_eq!((whole.batch.clone(), whole.taken.skus), (batch, 250));
        assert_eq!(shop.ports.store().submitted(&whole.batch).await.unwrap().unwrap().jobs, 500);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_name_with_other_content_is_refused() {
        let shop = Shop::new(3);
        let named = || SubmitRequest { batch: Some("sale".to_owned()), ..shop.request() };
        shop.submit(&named()).await.unwrap();
        let keys = shop.keys().await;
        let refused = async |request: SubmitRequest, what: &str| {
            let failure = shop.submit(&request).await.unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.error.to_string().contains(what), "{what}: {}", failure.error);
            assert!(failure.hint.unwrap().contains("--batch"));
        };
        let mut other = named();
        other.wanted.roles.pop();
        refused(other, "setting").await;
        refused(SubmitRequest { limit: Some(2), ..named() }, "setting").await;
        shop.paint(1, 9);
        refused(named(), "photo 1.png of s1").await;
        shop.paint(1, 1);
        shop.submit(&named()).await.unwrap();
        let text = std::fs::read_to_string(named().catalog).unwrap();
        std::fs::write(named().catalog, text.replace("Title 1", "Title one")).unwrap();
        refused(named(), "the catalog").await;
        assert_eq!(shop.keys().await, keys, "what was refused leaves nothing behind");
        // Priority says how a batch is handed out, not what it is.
        std::fs::write(named().catalog, text).unwrap();
        let mut urgent = named();
        urgent.wanted.priority = 90;
        shop.submit(&urgent).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_do_not_depend_on_name_or_time() {
        let shop = Shop::new(2);
        let entries = async |name: &str| {
            let request = SubmitRequest { batch: Some(name.to_owned()), ..shop.request() };
            let receipt = shop.submit(&request).await.unwrap();
            let sku = packshot_pipeline::ids::Sku::new("s1").unwrap();
            shop.ports.store().entry(&receipt.batch, &sku).await.unwrap().unwrap()
        };
        assert_eq!(entries("one").await, entries("two").await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_matting_model_is_part_of_every_key() {
        let shop = Shop::new(1);
        let keys = async |name: &str, model: Option<&str>| {
            let mut request = SubmitRequest { batch: Some(name.to_owned()), ..shop.request() };
            request.wanted.options.extend(model.map(|model| (OPTION_MATTING.to_owned(), model.to_owned())));
            let receipt = shop.submit(&request).await.unwrap();
            let sku = packshot_pipeline::ids::Sku::new("s0").unwrap();
            let entry = shop.ports.store().entry(&receipt.batch, &sku).await.unwrap().unwrap();
            entry.jobs.values().map(|job| job.key).chain([entry.set_key]).collect::<BTreeSet<_>>()
        };
        let (none, one) = (keys("none", None).await, keys("one", Some("1")).await);
        let (same, other) = (keys("same", Some("1")).await, keys("other", Some("2")).await);
        assert_eq!(one, same);
        assert!(none.is_disjoint(&one) && one.is_disjoint(&other) && none.is_disjoint(&other));
    }
}
