//! `packshot doctor`: everything outside that the guarantees depend on, looked at once. Each
//! finding says what was seen and, where something is wrong, what to do.

use packshot_adapters::directory::DirectoryObjects;
use packshot_adapters::rabbitmq::{self, RabbitSettings};
use packshot_adapters::redis;
use packshot_adapters::s3::{self, S3Objects};
use packshot_runtime::causes::chain;
use packshot_runtime::port::{Objects, Put};
use packshot_worker::matting::{MattingModel, MattingSettings};
use packshot_worker::system::{self, SystemSettings};
use serde::Serialize;

use crate::settings::Settings;

/// The largest share of the broker's patience that one job's lease may take.
const LEASES_PER_TIMEOUT: u64 = 3;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// As it should be.
    Fine,
    /// It works, with a drawback.
    Warning,
    /// A guarantee does not hold, or nothing works.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Which system: `settings`, `matting`, `rabbitmq`, `redis`, `objects`.
    pub system: &'static str,
    /// How bad it is.
    pub weight: Weight,
    /// What was seen.
    pub what: String,
    /// What to do about it; empty when nothing.
    pub to_do: String,
}

/// Looks at every outside system.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let (outside, mut findings) = (&settings.system, Vec::new());
    findings.extend(settings_findings(settings));
    findings.extend(matting_findings(&settings.matting));
    let (rabbitmq, redis, objects) =
        tokio::join!(rabbitmq_findings(&outside.rabbitmq), redis_findings(outside), object_findings(outside));
    findings.extend(rabbitmq);
    findings.extend(redis);
    findings.extend(objects);
    findings
}

fn settings_findings(settings: &Settings) -> Vec<Finding> {
    let finding = |weight, what: String, to_do: &str| Finding {
        system: "settings",
        weight,
        what,
        to_do: to_do.to_owned(),
    };
    let mut findings: Vec<Finding> = settings
        .system
        .problems()
        .into_iter()
        .map(|problem| {
            finding(Weight::Problem, problem, "correct the setting; deploy/scheduler.toml lists all")
        })
        .collect();
    if findings.is_empty() {
        findings.push(finding(
            Weight::Fine,
            "the settings of the outside systems are complete".to_owned(),
            "",
        ));
    }
    let (lease_s, timeout_s) =
        (settings.policy.lease_s, u64::from(settings.system.rabbitmq.consumer_timeout_s));
    // A delivery is ended at the end of its job, and the lease is renewed until then; what the
    // broker must outlast is the longest job, of which the lease is a third at least.
    if timeout_s < lease_s * LEASES_PER_TIMEOUT {
        findings.push(finding(
            Weight::Problem,
            format!("the broker takes a delivery back after {timeout_s} s, a worker may be silent for {lease_s} s"),
            "raise `rabbitmq.consumer_timeout_s` above the longest job (the default is a day), or lower `policy.lease_s`",
        ));
    }
    if settings.sweep.silent_s < lease_s {
        findings.push(finding(
            Weight::Warning,
            format!(
                "messages are sent again after {} s, which is less than a lease",
                settings.sweep.silent_s
            ),
            "raise `sweep.silent_s`; duplicates are harmless and cost time",
        ));
    }
    findings
}

/// The model is tried out as the workers do; nothing is said where there is none.
fn matting_findings(settings: &MattingSettings) -> Option<Finding> {
    let finding =
        |weight, what, to_do: &str| Finding { system: "matting", weight, what, to_do: to_do.to_owned() };
    match MattingModel::ready(settings) {
        Ok(model) => model.map(|model| finding(Weight::Fine, model.describe(), "")),
        Err(error) => {
            let to_do = "workers with these settings do not start; correct the section `matting`, or take its `model` out";
            Some(finding(Weight::Problem, chain(&error), to_do))
        }
    }
}

async fn rabbitmq_findings(settings: &RabbitSettings) -> Vec<Finding> {
    let weight = |severity| match severity {
        rabbitmq::Severity::Fine => Weight::Fine,
        rabbitmq::Severity::Warning => Weight::Warning,
        rabbitmq::Severity::Broken => Weight::Problem,
    };
    let found = rabbitmq::probe(settings).await.into_iter();
    let each = found.map(|finding| Finding {
        system: "rabbitmq",
        weight: weight(finding.severity),
        what: finding.what,
        to_do: finding.what_to_do,
    });
    each.collect()
}

async fn redis_findings(outside: &SystemSettings) -> Vec<Finding> {
    let weight = |severity| match severity {
        redis::probe::Severity::Fine => Weight::Fine,
        redis::probe::Severity::Warning => Weight::Warning,
        redis::probe::Severity::Error => Weight::Problem,
    };
    let finding = |weight, what, to_do| Finding { system: "redis", weight, what, to_do };
    match redis::probe::probe(&outside.redis, &*system::clock()).await {
        Err(error) => {
            let to_do = "start the server, or set `redis.url` to where it is".to_owned();
            vec![finding(Weight::Problem, chain(&error), to_do)]
        }
        Ok(probe) => {
            let seen = format!("{} at {}", probe.version, probe.address);
            let first = finding(Weight::Fine, seen, String::new());
            let rest =
                probe.findings.into_iter().map(|one| finding(weight(one.severity), one.what, one.to_do));
            std::iter::once(first).chain(rest).collect()
        }
    }
}

async fn object_findings(outside: &SystemSettings) -> Vec<Finding> {
    if !outside.objects.directory.is_empty() {
        return folder_findings(&outside.objects.directory).await;
    }
    let weight = |severity| match severity {
        s3::Severity::Fine => Weight::Fine,
        s3::Severity::Warning => Weight::Warning,
        s3::Severity::Error => Weight::Problem,
    };
    let found = S3Objects::probe(outside.s3.clone()).await.into_iter();
    let each = found.map(|finding| Finding {
        system: "objects",
        weight: weight(finding.severity),
        what: finding.what,
        to_do: finding.what_to_do,
    });
    each.collect()
}

/// A folder is tried like a bucket: what was put is there, and of two writers one wins.
async fn folder_findings(folder: &str) -> Vec<Finding> {
    let finding = |weight, what: String, to_do: &str| {
        vec![Finding { system: "objects", weight, what, to_do: to_do.to_owned() }]
    };
    let advice = "choose a folder that every machine can write, on a file system with hard links and fsync";
    let tried = async {
        let store = DirectoryObjects::open(std::path::Path::new(folder))?;
        let key = format!("doctor/{}", std::process::id());
        store.put(&key, "one".into()).await?;
        let second = store.put_if_absent(&key, "two".into()).await?;
        let read = store.get(&key, 100).await?;
        if let Some(path) = store.path(&key) {
            // What is left over is one small file that nobody reads.
            let _gone = std::fs::remove_file(path).is_ok();
        }
        Ok::<bool, packshot_runtime::port::ObjectsError>(
            second == Put::Exists && read.as_deref() == Some(b"one"),
        )
    };
    match tried.await {
        Ok(true) => finding(
            Weight::Fine,
            format!("the folder {folder} keeps what is put and tells two writers apart"),
            "",
        ),
        Ok(false) => {
            finding(Weight::Problem, format!("the folder {folder} does not tell two writers apart"), advice)
        }
        Err(error) => finding(Weight::Problem, chain(&error), advice),
    }
}

/// The findings as people read them: problems last, where the eye ends.
pub fn text(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.weight);
    let mut lines = Vec::new();
    for finding in sorted {
        let mark = match finding.weight {
            Weight::Fine => "ok     ",
            Weight::Warning => "warning",
            Weight::Problem => "PROBLEM",
        };
        lines.push(format!("{mark}  {:<8}  {}", finding.system, finding.what));
        if !finding.to_do.is_empty() {
            lines.push(format!("                   -> {}", finding.to_do));
        }
    }
    let count = |weight| findings.iter().filter(|finding| finding.weight == weight).count();
    let (problems, warnings) = (count(Weight::Problem), count(Weight::Warning));
    lines.push(format!("{problems} problems, {warnings} warnings"));
    if problems + warnings > 0 {
        lines.push("deploy/TROUBLESHOOTING.md says more about each of them".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_must_outlast_a_job() {
        let mut settings = Settings::default();
        settings.system.objects.directory = "/shared".to_owned();
        assert!(settings_findings(&settings).iter().all(|finding| finding.weight == Weight::Fine));
        settings.system.rabbitmq.consumer_timeout_s = 90;
        settings.sweep.silent_s = 10;
        let findings = settings_findings(&settings);
        let of = |weight| findings.iter().filter(|finding| finding.weight == weight).count();
        assert_eq!((of(Weight::Problem), of(Weight::Warning)), (1, 1), "{findings:?}");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_one_is_a_problem() {
        let findings = folder_findings("/dev/null/store").await;
        assert_eq!(findings.first().map(|finding| finding.weight), Some(Weight::Problem));
        assert!(text(&findings).contains("1 problems") && text(&findings).contains("->"));
    }
}
