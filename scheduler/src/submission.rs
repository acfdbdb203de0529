//! Taking a catalog in: every product becomes an entry of the manifest and a document, and
//! the rows are kept for the report. Shared by `run` and `submit`. A few products are
//! entered at the same time; what is said keeps the catalog's order.
//!
//! `run` inspects each SKU's references here, so that contradictions and weak photos are
//! said before anything is made. `submit` leaves that to the workers: it would bind tens of
//! thousands of decodings to the one machine on which somebody typed the command, and the
//! first job of a SKU inspects and keeps what it saw anyway. The entry does not depend on
//! it, so both ways lead to the same job keys and the same sets.

use std::path::Path;

use anyhow::anyhow;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use packshot_pipeline::catalog::{Product, ReferenceSource};
use packshot_pipeline::ids::{Digest, Sku};
use packshot_pipeline::manifest::{
    Batch, CatalogEntry, CatalogHead, CatalogPage, MANIFEST_SCHEMA, ManifestSku, Settings, Submitted,
};
use packshot_runtime::ports::Ports;
use packshot_runtime::store::Written;
use packshot_runtime::submit::create_document;
use packshot_worker::assemble::{Channel, NameClaims};
use packshot_worker::telemetry::{Instruments, Intake};
use packshot_worker::work::{CODE_SHARED_NAME, Workshop};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::exit::Failure;
use crate::intake::fetch::{FetchLimits, Fetcher};
use crate::intake::references::read_below;
use crate::intake::{Catalog, Entry};
use crate::prepare::{Surroundings, enter, said_by};
use crate::progress::Progress;
use crate::session;

/// Entries of one page of kept rows.
const PAGE_ENTRIES: usize = 200;
/// Text of one page of kept rows, in bytes; a page ends with the entry that reaches it.
const PAGE_BYTES: usize = 4 << 20;

/// A catalog on its way in.
pub struct Submission<'a> {
    /// Catalog file.
    pub catalog: &'a Path,
    /// Folder of local photos.
    pub images: Option<&'a Path>,
    /// Only this many SKUs.
    pub limit: Option<usize>,
    /// Limits of fetching.
    pub fetch: FetchLimits,
    /// References of one SKU that are looked at.
    pub references_max: usize,
    /// Products entered at the same time.
    pub together: usize,
    /// Inspects references at once; `None`: the workers do.
    pub workshop: Option<&'a Workshop>,
    /// Whether the batch stood before, so that entries of it may stand too.
    pub resumes: bool,
    /// Whether documents are made; a batch that has come to rest needs none.
    pub creates_documents: bool,
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Taken {
    /// Products.
    pub skus: u64,
    /// Their jobs.
    pub jobs: u64,
    /// Rows that are no product.
    pub bad_rows: u64,
    /// Products whose entry stood already.
    pub resumed: u64,
}

/// Takes the catalog in until its end, and writes down that it is complete; or until `stop`,
/// and then `None`.
pub async fn take_in(
    from: &Submission<'_>,
    ports: &Ports,
    instruments: &Instruments,
    header: &Batch,
    mut catalog: Catalog,
    stop: &CancellationToken,
    progress: &mut Progress,
) -> Result<Option<Taken>, Failure> {
    let store = ports.store();
    let wanted = &header.settings;
    let fetcher = Fetcher::new(from.fetch.clone());
    let images = catalog.images_root().to_owned();
    let around = Surroundings {
        objects: &*ports.objects,
        fetcher: &fetcher,
        images: &images,
        settings: wanted,
        references_max: from.references_max,
    };
    let names = Names::of(from, wanted)?;
    let name = from.catalog.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let head = CatalogHead { schema: MANIFEST_SCHEMA, name, columns: catalog.columns().to_vec() };
    // A file that was only renamed in between is still the same catalog.
    store.write_catalog(&header.batch, &head).await.map_err(environment)?;
    let traced = instruments.submission(header);
    let mut taken = Taken::default();
    for number in 0.. {
        let room = from.limit.map_or(usize::MAX, |limit| limit.saturating_sub(taken.skus as usize));
        let (page, products) = next_page(&mut catalog, &names, room);
        if page.entries.is_empty() {
            break;
        }
        taken.bad_rows += say(&page, progress);
        // Before any of its products, so that other content is refused before it is mixed in.
        let written = store.write_catalog_page(&header.batch, number, &page).await;
        if written.map_err(environment)? == Written::Differs {
            return Err(other_content(header, "its rows"));
        }
        let mut entering = FuturesOrdered::new();
        for product in products {
            if stop.is_cancelled() {
                break;
            }
            let intake = traced.sku(&product.sku);
            let span = intake.span();
            let entered = enter_one(from, ports, header, around, product, intake);
            entering.push_back(entered.instrument(span));
            if entering.len() >= from.together.max(1)
                && let Some(entered) = entering.next().await
            {
                taken.add(entered?, progress);
            }
        }
        while let Some(entered) = entering.next().await {
            taken.add(entered?, progress);
        }
        if stop.is_cancelled() {
            return Ok(None);
        }
    }
    traced.ended(taken.skus);
    let counts = Submitted { skus: taken.skus, jobs: taken.jobs };
    match store.write_submitted(&header.batch, &counts).await.map_err(environment)? {
        Written::New | Written::Same => Ok(Some(taken)),
        Written::Differs => Err(other_content(header, "the number of its SKUs")),
    }
}

struct Entered {
    entry: ManifestSku,
    warnings: Vec<String>,
    resumed: bool,
}

impl Taken {
    fn add(&mut self, entered: Entered, progress: &mut Progress) {
        let product = &entered.entry.product;
        for warning in &entered.warnings {
            progress.say(&format!("{} (line {}): {warning}", product.sku, product.line));
        }
        self.skus += 1;
        self.jobs += entered.entry.jobs.len() as u64;
        self.resumed += u64::from(entered.resumed);
        progress.taken(self.skus);
    }
}

async fn enter_one(
    from: &Submission<'_>,
    ports: &Ports,
    header: &Batch,
    around: Surroundings<'_>,
    product: Product,
    intake: Intake,
) -> Result<Entered, Failure> {
    let store = ports.store();
    let batch = &header.batch;
    let standing =
        if from.resumes { store.entry(batch, &product.sku).await.map_err(environment)? } else { None };
    let (entry, resumed) = match standing {
        Some(standing) => {
            same_photos(header, around, &product, &standing).await?;
            (standing, true)
        }
        None => {
            let entry = enter(around, product).await.map_err(environment)?;
            if store.write_entry(batch, &entry).await.map_err(environment)? == Written::Differs {
                return Err(other_content(header, &format!("the SKU {}", entry.product.sku)));
            }
            (entry, false)
        }
    };
    let mut warnings = entry.warnings.clone();
    if let Some(workshop) = from.workshop {
        let model = workshop.model_of(&header.settings).map_err(environment)?;
        let inspection = workshop.inspect(&*ports.objects, &entry.product, &entry.references, model).await;
        warnings.extend(said_by(&inspection.map_err(environment)?));
    }
    if from.creates_documents {
        intake.created(create_document(ports, header, &entry).await.map_err(environment)?);
    }
    Ok(Entered { entry, warnings, resumed })
}

/// Refuses a photo that was replaced since its SKU was submitted. What lies behind an address
/// is not fetched again.
async fn same_photos(
    header: &Batch,
    around: Surroundings<'_>,
    product: &Product,
    standing: &ManifestSku,
) -> Result<(), Failure> {
    for source in product.references.iter().take(around.references_max) {
        let ReferenceSource::File(path) = source else { continue };
        let (root, file) = (around.images.to_owned(), path.clone());
        let read = tokio::task::spawn_blocking(move || read_below(&root, &file).map(|b| Digest::of(&b)));
        let Ok(Ok(digest)) = read.await else { continue };
        let known = standing.references.iter().any(|reference| reference.digest == digest);
        let unusable =
            standing.warnings.iter().any(|said| said.starts_with(&format!("{}: ", path.display())));
        if !known && !unusable {
            return Err(other_content(header, &format!("the photo {} of {}", path.display(), product.sku)));
        }
    }
    Ok(())
}

/// Rows and products of the next page, at most `room` products.
fn next_page(catalog: &mut Catalog, names: &Names, room: usize) -> (CatalogPage, Vec<Product>) {
    let (mut entries, mut products, mut bytes) = (Vec::new(), Vec::new(), 0);
    while entries.len() < PAGE_ENTRIES && bytes < PAGE_BYTES && products.len() < room {
        let Some(Entry { rows, product, warnings }) = catalog.next() else { break };
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.cells).collect();
        bytes += rows.iter().flatten().map(String::len).sum::<usize>();
        let (sku, problem): (Option<Sku>, String) = match &product {
            Ok(product) => (Some(product.sku.clone()), String::new()),
            Err(bad) => match &bad.hint {
                Some(hint) => (None, format!("{bad}; {hint}")),
                None => (None, bad.to_string()),
            },
        };
        let warnings = warnings.iter().map(ToString::to_string).collect();
        entries.push(CatalogEntry { rows, sku, problem, warnings });
        products.extend(product.ok().map(|product| names.marked(product)));
    }
    (CatalogPage { schema: MANIFEST_SCHEMA, entries }, products)
}

/// Says what is odd about a page's rows; returns how many are no products.
fn say(page: &CatalogPage, progress: &Progress) -> u64 {
    for entry in &page.entries {
        for warning in &entry.warnings {
            progress.say(&format!("warning: {warning}"));
        }
        if entry.sku.is_none() {
            progress.say(&format!("bad row: {}", entry.problem));
        }
    }
    page.entries.iter().filter(|entry| entry.sku.is_none()).count() as u64
}

/// Which file names the whole catalog wants, so that two products never get the same one.
struct Names {
    channels: Vec<&'static Channel>,
    claims: NameClaims,
}

impl Names {
    fn of(from: &Submission<'_>, wanted: &Settings) -> Result<Self, Failure> {
        let channels: Vec<&'static Channel> =
            wanted.channels.iter().filter_map(|name| Channel::by_name(name)).collect();
        let mut claims = NameClaims::default();
        for entry in session::open_catalog(from.catalog, from.images)? {
            if let Ok(product) = &entry.product {
                claims.add(product, &channels);
            }
        }
        Ok(Self { channels, claims })
    }

    /// The product, marked when another one wants a file name of its.
    fn marked(&self, mut product: Product) -> Product {
        if self.claims.any_shared(&product, &self.channels) {
            product.codes.insert(CODE_SHARED_NAME.to_owned(), "yes".to_owned());
        }
        product
    }
}

/// A batch is immutable: what differs is another batch.
pub(crate) fn other_content(header: &Batch, what: &str) -> Failure {
    let batch = &header.batch;
    Failure::usage(anyhow!("batch {batch} was submitted with other content: {what} differs"))
        .hint("give it another name with --batch; what has not changed is found again and costs nothing")
}

fn environment(error: impl Into<anyhow::Error>) -> Failure {
    Failure::environment(error)
        .hint("once the cause is mended, run the same command again: it goes on from here")
}
