//! Packshot's worker as a library: what happens inside one job. Inspect the reference,
//! make a candidate, review it against the reference, edit the weak area, and assemble
//! the accepted images of a SKU into one consistent set.

pub mod assemble;
pub mod bounded;
pub mod edit;
pub mod generate;
pub mod inspect;
pub mod matting;
pub mod process;
pub mod refine;
pub mod review;
pub mod settings;
pub mod subject;
pub mod system;
pub mod telemetry;
pub mod work;
