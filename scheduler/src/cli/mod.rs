//! The command line: what can be asked, and which function answers.

pub mod compare;
pub mod edit;
mod images;
pub mod inspect;
pub mod plan;
pub mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Store-ready product photography from a catalog, checked against the real product.
#[derive(Parser, Debug)]
#[command(name = "packshot", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  everything asked for is complete
  1  wrong usage, or an input that cannot be read
  2  finished, and some SKUs, images or rows need attention
  3  stopped by a signal; the same command resumes
  4  the output cannot be written, or an outside system does not answer";

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make, review and export every image of a catalog on this machine
    Run(RunArgs),
    /// Show what would be made, from what, what is cached, and warnings; makes nothing
    Plan(PlanArgs),
    /// Show reference quality and product facts of a photo or a catalog
    Inspect(InspectArgs),
    /// Measure how far a candidate drifts from its reference
    Compare(CompareArgs),
    /// Apply one edit operation to an image
    Edit(EditArgs),
}

/// Which catalog, and what is wanted of it.
#[derive(Args, Debug, Clone)]
pub struct CatalogArgs {
    /// Catalog file: CSV, TSV, JSON or JSON Lines; generic, Shopify or Google Merchant columns
    pub catalog: PathBuf,
    /// Folder of reference photos [default: `images` beside the catalog, else its folder]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Channels to export for, comma separated: amazon, google, shopify, etsy, walmart, ebay
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub channels: Option<Vec<String>>,
    /// Roles to make, comma separated: main, cleanup, detail, angle, lifestyle, feature, comparison, ad
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    pub roles: Option<Vec<String>>,
    /// Take only the first N SKUs of the catalog
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The catalog.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Output folder; also remembers what is done, so that the same command resumes
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Images made at the same time [default: one per core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Name of this submission [default: the catalog's file name]
    #[arg(long, value_name = "NAME")]
    pub batch: Option<String>,
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// The catalog.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Output folder of an earlier run, to see what is cached
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A photo, or a catalog file
    pub input: PathBuf,
    /// Folder of reference photos, when the input is a catalog
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// The real photo
    #[arg(long, value_name = "IMAGE", required_unless_present = "pairs")]
    pub reference: Option<PathBuf>,
    /// The image to judge
    #[arg(long, value_name = "IMAGE", required_unless_present = "pairs")]
    pub candidate: Option<PathBuf>,
    /// What the candidate is for; without it product truth alone is judged
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write a picture of where it differs
    #[arg(long, value_name = "OUT.png", conflicts_with = "pairs")]
    pub heatmap: Option<PathBuf>,
    /// Compare every pair of a CSV with the columns reference,candidate[,role]; paths are
    /// relative to that file
    #[arg(long, value_name = "PAIRS.csv", conflicts_with_all = ["reference", "candidate"])]
    pub pairs: Option<PathBuf>,
    /// With --pairs: one JSON object a line, in order
    #[arg(long, requires = "pairs")]
    pub jsonl: bool,
}

/// Arguments of `edit`.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The image to edit
    pub image: PathBuf,
    /// Operation: cutout, background, replace-background, erase, retouch, upscale, restore,
    /// outpaint, crop, compose, style
    #[arg(long, value_name = "OP")]
    pub op: String,
    /// Where to edit: white = edit, black = keep
    #[arg(long, value_name = "M.png")]
    pub mask: Option<PathBuf>,
    /// A setting of the operation; `--op OP --set help` lists them
    #[arg(long = "set", value_name = "key=value")]
    pub settings: Vec<String>,
    /// Where the result goes; its extension chooses the format (png, jpg, webp)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
