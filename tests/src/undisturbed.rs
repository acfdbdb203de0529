//! What a batch gives when nothing goes wrong: the same work and the same loops on the memory
//! adapters, as `packshot run` has them, from the batch's own manifest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use packshot_pipeline::budget::MicroUsd;
use packshot_pipeline::ids::{BatchId, Digest, Sku};
use packshot_pipeline::layout;
use packshot_pipeline::manifest::{Batch, ManifestSku};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::result::SetPointer;
use packshot_pipeline::role::Role;
use packshot_pipeline::state::Incarnation;
use packshot_runtime::clock::MonotonicClock;
use packshot_runtime::consume::{Stop, consume};
use packshot_runtime::dispatch::{DispatchSettings, Dispatcher};
use packshot_runtime::drive::Driver;
use packshot_runtime::memory::{BrokerLimits, MemoryBroker, MemoryCoordinator, MemoryLedger, MemoryObjects};
use packshot_runtime::port::Objects;
use packshot_runtime::ports::Ports;
use packshot_runtime::store::Store;
use packshot_runtime::submit::{create_document, open_batch};

use crate::points::Points;
use crate::script::Script;

/// Entries listed in one go.
const PAGE: usize = 1_000;
/// The longest that all of it may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What became of one SKU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its current set.
    pub set: Option<SetPointer>,
    /// How each job ended, with the digests of its images; `None`: no result.
    pub jobs: BTreeMap<Role, Option<(String, Vec<Digest>)>>,
}

/// Everything that was submitted of a batch.
pub async fn manifest(objects: &dyn Objects, batch: &BatchId) -> (Batch, Vec<ManifestSku>) {
    let clock = MonotonicClock::new();
    let store = Store::new(objects, &clock);
    let header = store.batch(batch).await.unwrap().expect("there is no such batch");
    let folder = layout::manifest_skus(batch);
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = objects.list(&folder, after.as_deref(), PAGE).await.unwrap();
        for key in &page {
            entries.push(store.read::<ManifestSku>(key).await.unwrap().expect("listed and not there"));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.clone()),
            _ => return (header, entries),
        }
    }
}

/// What `objects` says of the SKUs of `entries`.
pub async fn ended(store: &Store<'_>, entries: &[ManifestSku]) -> BTreeMap<Sku, Ended> {
    let mut all = BTreeMap::new();
    for entry in entries {
        let sku = &entry.product.sku;
        let mut jobs = BTreeMap::new();
        for (role, spec) in &entry.jobs {
            let result = store.result(&spec.key).await.unwrap();
            let told = result.map(|result| {
                let images = result.artefacts.iter().map(|artefact| artefact.image.digest).collect();
                (result.status.word().to_owned(), images)
            });
            jobs.insert(*role, told);
        }
        all.insert(sku.clone(), Ended { set: store.current_set(sku).await.unwrap(), jobs });
    }
    all
}

/// Runs the batch of `objects` again, in memory and in peace, without a cap.
pub async fn run(objects: &dyn Objects, batch: &BatchId) -> BTreeMap<Sku, Ended> {
    let (mut header, entries) = manifest(objects, batch).await;
    header.settings.cost_max = None;
    header.settings.policy = Policy { lease_ms: 60_000, ..header.settings.policy };
    let ports = Ports {
        coordinator: Arc::new(MemoryCoordinator::new(Incarnation(1))),
        ledger: Arc::new(MemoryLedger::new()),
        objects: Arc::new(MemoryObjects::new(256 << 20)),
        broker: Arc::new(MemoryBroker::new(BrokerLimits::STANDARD)),
        clock: Arc::new(MonotonicClock::new()),
    };
    let store = ports.store();
    store.write_batch(&header).await.unwrap();
    open_batch(&ports, &header).await.unwrap();
    for entry in &entries {
        store.write_entry(batch, entry).await.unwrap();
        create_document(&ports, &header, entry).await.unwrap();
    }
    tokio::time::timeout(PATIENCE, work_off(&ports, &header, entries.len() as u64))
        .await
        .expect("the undisturbed run does not end");
    ended(&store, &entries).await
}

async fn work_off(ports: &Ports, header: &Batch, skus: u64) {
    let price = header.settings.prices.values().next().copied().unwrap_or(MicroUsd::ZERO);
    let script = Script::new(Arc::new(Points::default()), Duration::ZERO, price);
    let driver = Arc::new(Driver::new(ports.clone(), Arc::new(script), 1));
    let windows = Pool::ALL.map(|pool| (pool, 1_000)).into();
    let dispatcher = Dispatcher::new(ports.clone(), DispatchSettings { windows, idle_ms: 5 });
    let stop = Stop::default();
    let consuming = Pool::ALL.map(|pool| consume(&*ports.broker, &driver, &*ports.clock, pool, 16, &stop));
    let settled = async {
        while ports.coordinator.tally(&header.batch).await.unwrap().settled() < skus {
            ports.clock.sleep(5).await;
        }
        stop.soft.cancel();
    };
    tokio::join!(settled, dispatcher.run(stop.soft.clone()), futures::future::join_all(consuming));
}
