//! Small batches and entries for tests.

use std::collections::BTreeMap;

use packshot_pipeline::catalog::{Dimensions, Product, Reference};
use packshot_pipeline::ids::{BatchId, Digest, Sku};
use packshot_pipeline::job_key::JobKey;
use packshot_pipeline::manifest::{Batch, JobSpec, MANIFEST_SCHEMA, ManifestSku, Settings};
use packshot_pipeline::policy::Policy;
use packshot_pipeline::pool::Pool;
use packshot_pipeline::role::Role;

/// An entry with these roles, all of the studio, and keys that depend on SKU and role.
pub fn entry(sku: &str, roles: &[Role]) -> ManifestSku {
    let key = |what: &str| JobKey::from_digest(Digest::of(format!("{sku}\0{what}").as_bytes()));
    let product = Product {
        sku: Sku::new(sku).unwrap(),
        title: String::new(),
        description: String::new(),
        category: String::new(),
        brand: String::new(),
        colour: String::new(),
        material: String::new(),
        dimensions: Dimensions::default(),
        accessories: Vec::new(),
        group: None,
        references: Vec::new(),
        codes: BTreeMap::new(),
        line: 2,
    };
    let digest = Digest::of(sku.as_bytes());
    let spec = |role: &Role| JobSpec { key: key(role.word()), pool: Pool::Studio, maker: "studio".into() };
    ManifestSku {
        schema: MANIFEST_SCHEMA,
        product,
        references: vec![Reference { digest, extension: "png".into(), name: "sample".into() }],
        jobs: roles.iter().map(|role| (*role, spec(role))).collect(),
        set_key: key("set"),
        warnings: Vec::new(),
    }
}

/// A batch with this policy.
pub fn batch(name: &str, policy: Policy) -> Batch {
    Batch {
        schema: MANIFEST_SCHEMA,
        batch: BatchId::new(name).unwrap(),
        created_ms: 1_700_000_000_000,
        catalog: Digest::of(name.as_bytes()),
        settings: Settings {
            roles: Vec::new(),
            channels: Vec::new(),
            policy,
            priority: 10,
            cost_max: None,
            prices: BTreeMap::new(),
            options: BTreeMap::new(),
        },
    }
}
