//! The command line: what can be asked, and which function answers.

pub mod compare;
pub mod control;
pub mod doctor;
pub mod edit;
pub mod fetch;
mod images;
pub mod inspect;
pub mod plan;
pub mod rebuild;
pub mod retry;
pub mod run;
pub mod serve;
pub mod status;
pub mod submit;
pub mod watch;

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
    /// Hand a catalog to the workers of a cluster; the same command resumes
    Submit(SubmitArgs),
    /// Show how a batch stands, or list every batch
    Status(StatusArgs),
    /// Watch a batch until nothing more happens in it without a person
    Watch(BatchArgs),
    /// Hand out nothing more of a batch; what has begun goes on
    Pause(ControlArgs),
    /// Go on with a paused batch
    Resume(ControlArgs),
    /// Stop a batch for good
    Cancel(ControlArgs),
    /// Change the weight of a batch among those that are made at the same time
    Priority(PriorityArgs),
    /// Try again what failed, lacked money or was cancelled
    Retry(RetryArgs),
    /// Write the output folder of a batch, as `run` leaves it, from the object store alone
    Fetch(FetchArgs),
    /// Make the coordinator's documents anew from the object store
    Rebuild(RebuildArgs),
    /// Look at every outside system that the guarantees depend on
    Doctor(DoctorArgs),
    /// Run the scheduler of a cluster until it is told to stop
    Serve(ServeArgs),
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
    #[arg(required_unless_present = "settings")]
    pub image: Option<PathBuf>,
    /// Operation: cutout, background, replace-background, erase, retouch, upscale, restore,
    /// outpaint, crop, compose, style, harmonise
    #[arg(long, value_name = "OP")]
    pub op: String,
    /// Where to edit: white = edit, black = keep
    #[arg(long, value_name = "M.png")]
    pub mask: Option<PathBuf>,
    /// A setting of the operation; `--op OP --set help` lists them
    #[arg(long = "set", value_name = "key=value")]
    pub settings: Vec<String>,
    /// Where the result goes; its extension chooses the format (png, jpg, webp)
    #[arg(long, value_name = "FILE", required_unless_present = "settings")]
    pub out: Option<PathBuf>,
    /// Settings file (TOML, YAML or JSON), of which `matting` counts
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `submit`.
#[derive(Args, Debug)]
pub struct SubmitArgs {
    /// The catalog.
    #[command(flatten)]
    pub catalog: CatalogArgs,
    /// Name of the batch [default: the catalog's file name and a digest of content and settings]
    #[arg(long, value_name = "NAME")]
    pub batch: Option<String>,
    /// Weight among batches that are made at the same time, 1 to 100 [default: 10]
    #[arg(long, value_name = "N")]
    pub priority: Option<u32>,
    /// The most that the batch may cost, in US dollars [default: no cap]
    #[arg(long, value_name = "USD")]
    pub cost_max: Option<String>,
}

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Name of a batch; without it every batch is listed
    pub batch: Option<String>,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub struct BatchArgs {
    /// Name of the batch
    pub batch: String,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object a line whenever something has changed
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pause`, `resume` and `cancel`.
#[derive(Args, Debug)]
pub struct ControlArgs {
    /// Name of the batch
    pub batch: String,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `priority`.
#[derive(Args, Debug)]
pub struct PriorityArgs {
    /// Name of the batch
    pub batch: String,
    /// The weight, 1 to 100; 10 is usual
    #[arg(value_name = "N")]
    pub priority: u32,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `retry`.
#[derive(Args, Debug)]
pub struct RetryArgs {
    /// Name of the batch
    pub batch: String,
    /// What failed, lacked money or was cancelled; the only choice today, so it must be said
    #[arg(long, required = true)]
    pub failed: bool,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `fetch`.
#[derive(Args, Debug)]
pub struct FetchArgs {
    /// Name of the batch
    pub batch: String,
    /// Output folder; what it holds already is not fetched again
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the summary as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rebuild`.
#[derive(Args, Debug)]
pub struct RebuildArgs {
    /// Name of a batch; without it every batch that has not ended
    pub batch: Option<String>,
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Settings file (TOML, YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
