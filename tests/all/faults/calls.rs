//! What the makers wrote down themselves: which attempts called and paid, which of their
//! answers were saved, and what was committed how often.

use std::collections::{BTreeMap, BTreeSet};

use packshot_pipeline::ids::BatchId;
use packshot_pipeline::job_key::JobKey;

/// One line of the makers' log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Claimed,
    Called,
    Saved,
}

/// What happened to each job, in order.
pub(super) struct Calls<'a> {
    jobs: BTreeMap<String, Vec<Line<'a>>>,
}

/// What, to which attempt, in which process.
type Line<'a> = (Step, &'a str, u32);

impl<'a> Calls<'a> {
    /// Reads the lines about `batch`: `point incarnation/batch/slug/target/number process`.
    pub(super) fn of(log: &'a str, batch: &BatchId) -> Self {
        let mut jobs: BTreeMap<String, Vec<Line<'_>>> = BTreeMap::new();
        for line in log.lines() {
            let mut words = line.split(' ');
            let step = match words.next() {
                Some("claimed") => Step::Claimed,
                Some("called") => Step::Called,
                Some("saved") => Step::Saved,
                _ => continue,
            };
            let (Some(name), Some(Ok(process))) = (words.next(), words.next().map(str::parse)) else {
                continue;
            };
            let parts: Vec<&str> = name.split('/').collect();
            if let [_, of, slug, target, _] = parts[..]
                && of == batch.as_str()
            {
                jobs.entry(format!("{slug}/{target}")).or_default().push((step, name, process));
            }
        }
        Self { jobs }
    }

    /// Calls that were paid.
    pub(super) fn count(&self) -> usize {
        self.jobs.values().flatten().filter(|(step, ..)| *step == Step::Called).count()
    }

    /// Calls that were paid by one of the `dead` processes, which died (or stood still) before
    /// it could save what it got: the one window in which money is lost.
    pub(super) fn lost_with(&self, dead: &BTreeSet<u32>) -> usize {
        let lost = |steps: &Vec<Line<'_>>| {
            let called = steps.iter().enumerate().filter(|(_, one)| one.0 == Step::Called);
            let of_the_dead = called.filter(|(_, (.., process))| dead.contains(process));
            of_the_dead
                .filter(|(at, (_, name, _))| {
                    let mut later = steps[*at..].iter();
                    // Saved before anybody else claimed the job is not lost.
                    let next =
                        later.find(|one| one.0 == Step::Saved && one.1 == *name || one.0 == Step::Claimed);
                    next.is_none_or(|one| one.0 == Step::Claimed)
                })
                .count()
        };
        self.jobs.values().map(lost).sum()
    }

    /// Whoever claims a job after an answer to it was saved pays nothing, no attempt pays
    /// twice, and at most `twice_max` calls were paid a second time by an attempt that could
    /// not know.
    pub(super) fn blame(&self, twice_max: usize) -> Vec<String> {
        let mut blames = Vec::new();
        let mut twice = Vec::new();
        for (job, steps) in &self.jobs {
            let at = |step: Step, name: &str| steps.iter().position(|one| (one.0, one.1) == (step, name));
            let called: Vec<&str> =
                steps.iter().filter(|(step, ..)| *step == Step::Called).map(|(_, name, _)| *name).collect();
            let saved = steps.iter().position(|(step, ..)| *step == Step::Saved);
            for name in &called {
                let knew = saved.is_some_and(|saved| at(Step::Claimed, name).is_some_and(|at| saved < at));
                if knew {
                    blames.push(format!("{name} paid though an answer had been saved before its claim"));
                }
            }
            if called.iter().collect::<BTreeSet<_>>().len() < called.len() {
                blames.push(format!("an attempt at {job} paid twice: {called:?}"));
            }
            twice.extend(called.into_iter().skip(1));
        }
        if twice.len() > twice_max {
            blames.push(format!("{} calls were paid again, {twice_max} may be: {twice:?}", twice.len()));
        }
        blames
    }
}

/// Processes that died by their own hand.
pub(super) fn died(log: &str) -> BTreeSet<u32> {
    let lines = log.lines().filter(|line| line.starts_with("died-at-"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// No result was committed more than once.
pub(super) fn blame_commits(log: &str, keys: &BTreeSet<JobKey>) -> Vec<String> {
    let count = |key: &JobKey| {
        let begins = format!("result {} ", packshot_pipeline::layout::result(key));
        log.lines().filter(|line| line.starts_with(&begins)).count()
    };
    let twice = keys.iter().map(|key| (key, count(key))).filter(|(_, count)| *count > 1);
    twice.map(|(key, count)| format!("results/{key} was committed {count} times")).collect()
}

#[test]
fn the_checker_sees_what_was_paid_twice() {
    let batch = BatchId::new("b").unwrap();
    let blames = |log: &str| Calls::of(log, &batch).blame(0).len();
    let fine = "claimed 1/b/s/main/1 7\ncalled 1/b/s/main/1 7\nsaved 1/b/s/main/1 7\n";
    assert_eq!(blames(fine), 0);
    let other = "called 1/other/s/main/1 7\ncalled 1/other/s/main/2 7\n";
    assert_eq!(blames(&format!("{fine}{other}")), 0);
    let lost =
        "claimed 1/b/s/main/1 7\ncalled 1/b/s/main/1 7\nclaimed 1/b/s/main/2 8\ncalled 1/b/s/main/2 8\n";
    assert_eq!(blames(lost), 1);
    assert_eq!(Calls::of(lost, &batch).blame(1).len(), 0);
    assert_eq!(Calls::of(lost, &batch).count(), 2);
    let knew = format!("{fine}claimed 1/b/s/main/2 8\ncalled 1/b/s/main/2 8\n");
    assert_eq!(Calls::of(&knew, &batch).blame(1).len(), 1, "the answer was there");
    let again = format!("{fine}called 1/b/s/main/1 7\n");
    assert_eq!(Calls::of(&again, &batch).blame(1).len(), 1, "one attempt, two calls");
    let dead = format!("{lost}died-at-called 1/b/s/main/1 7\n");
    assert_eq!(Calls::of(&dead, &batch).lost_with(&died(&dead)), 1);
    assert_eq!(Calls::of(&dead, &batch).lost_with(&BTreeSet::from([8])), 1);
    assert_eq!(Calls::of(fine, &batch).lost_with(&BTreeSet::from([7])), 0);
    let key = JobKey::from_digest(packshot_pipeline::ids::Digest::of(b"k"));
    let line = format!("result results/{key}.json 7\n");
    assert!(blame_commits(&line, &BTreeSet::from([key])).is_empty());
    assert_eq!(blame_commits(&line.repeat(2), &BTreeSet::from([key])).len(), 1);
}
