//! Batches to measure with: manifest, entries and documents, without photos.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use packshot_pipeline::manifest::{Batch, Submitted};
use packshot_pipeline::role::Role;
use packshot_runtime::batches::first_control;
use packshot_runtime::conformance::sample;
use packshot_runtime::port::{BatchControl, Running};
use packshot_runtime::ports::Ports;
use packshot_runtime::submit::{create_document, open_batch};

/// Five roles, of which three wait for the main image.
pub(crate) const FIVE: [Role; 5] = [Role::Main, Role::Cleanup, Role::Detail, Role::Lifestyle, Role::Feature];

/// Entries that are on their way at the same time.
const TOGETHER: usize = 64;

/// A paused batch of `skus` SKUs with these roles, whole.
pub(crate) async fn batch(ports: &Ports, header: Batch, skus: usize, roles: &[Role]) -> Result<Batch> {
    let store = ports.store();
    store.write_batch(&header).await?;
    store.write_control(&BatchControl { running: Running::Paused, ..first_control(&header) }).await?;
    open_batch(ports, &header).await?;
    futures::stream::iter(0..skus)
        .map(|number| sku(ports, &header, number, roles))
        .buffer_unordered(TOGETHER)
        .try_collect::<()>()
        .await?;
    let submitted = Submitted { skus: skus as u64, jobs: (skus * roles.len()) as u64 };
    store.write_submitted(&header.batch, &submitted).await?;
    Ok(header)
}

/// One SKU of a batch: entry and document.
pub(crate) async fn sku(ports: &Ports, header: &Batch, number: usize, roles: &[Role]) -> Result<()> {
    let entry = sample::entry(&sku_name(header.batch.as_str(), number), roles);
    ports.store().write_entry(&header.batch, &entry).await?;
    create_document(ports, header, &entry).await?;
    Ok(())
}

/// What the SKU of this number is called.
pub(crate) fn sku_name(batch: &str, number: usize) -> String {
    format!("{batch}-{number:06}")
}

/// Lets a paused batch go.
pub(crate) async fn resume(ports: &Ports, header: &Batch) -> Result<()> {
    let control = first_control(header);
    ports.store().write_control(&control).await?;
    Ok(ports.coordinator.control(&control).await?)
}
