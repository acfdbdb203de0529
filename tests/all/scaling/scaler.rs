//! KEDA's and the HPA's formulas, with the numbers that the chart renders. Pure: time is an
//! argument, in seconds of the chart.
//!
//! KEDA (`pkg/scaling/executor/scale_scaledobjects.go`) decides between none and some: active
//! while the metric is above the activation value, back to none when it was not for the
//! cooldown. The HPA (`GetExternalPerPodMetricReplicas`, `stabilizeRecommendationWithBehaviors`,
//! `convertDesiredReplicasWithBehaviorRate`) decides between one and many.

use std::path::Path;

use serde::Deserialize;

/// The HPA's tolerance: no change while the metric is within a tenth of its target.
const TOLERANCE: f64 = 0.1;
/// The HPA's own period.
const SYNC_S: f64 = 15.0;

/// One pool's numbers in `helm/golden/scaling.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Numbers {
    pub(super) value: u32,
    pub(super) activation_value: u64,
    pub(super) polling_s: f64,
    pub(super) cooldown_s: f64,
    pub(super) replicas_min: u32,
    pub(super) replicas_max: u32,
    pub(super) scale_up: Behaviour,
    pub(super) scale_down: Behaviour,
    pub(super) grace_s: f64,
    pub(super) settings: WorkerNumbers,
}

/// The worker's own settings beside them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WorkerNumbers {
    pub(super) stop: StopNumbers,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct StopNumbers {
    pub(super) drain_s: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Behaviour {
    stabilization_window_seconds: f64,
    select_policy: Select,
    policies: Vec<Policy>,
}

/// The chart uses no other.
#[derive(Clone, Copy, Debug, Deserialize)]
enum Select {
    Max,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(rename = "type")]
    kind: Kind,
    value: f64,
    period_seconds: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Kind {
    Percent,
    Pods,
}

impl Numbers {
    /// As rendered for `pool`.
    pub(super) fn of(pool: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/golden/scaling.json");
        let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        serde_json::from_value(all[pool].clone()).unwrap()
    }
}

/// What is remembered between two looks.
#[derive(Debug)]
pub(super) struct Scaler {
    numbers: Numbers,
    replicas: u32,
    next_poll_s: f64,
    next_sync_s: f64,
    /// When KEDA last saw it active.
    active_s: f64,
    /// What the HPA found, and when.
    found: Vec<(f64, u32)>,
    /// By how many replicas it changed, and when.
    changes: Vec<(f64, i64)>,
}

impl Scaler {
    pub(super) fn new(numbers: Numbers) -> Self {
        let (found, changes) = (Vec::new(), Vec::new());
        let replicas = numbers.replicas_min;
        Self { numbers, replicas, next_poll_s: 0.0, next_sync_s: 0.0, active_s: f64::MIN, found, changes }
    }

    /// Whether it would ask for the metric now.
    pub(super) fn is_due(&self, now_s: f64) -> bool {
        now_s >= self.next_poll_s.min(self.next_sync_s)
    }

    /// How many replicas there shall be, when the queue holds so many messages, those that are
    /// being worked at included. `None`: nobody knows, and then nothing changes.
    pub(super) fn look(&mut self, now_s: f64, messages: Option<u64>) -> u32 {
        if now_s >= self.next_poll_s {
            self.next_poll_s = now_s + self.numbers.polling_s;
            if let Some(messages) = messages {
                self.poll(now_s, messages);
            }
        }
        if now_s >= self.next_sync_s {
            self.next_sync_s = now_s + SYNC_S;
            if let Some(messages) = messages.filter(|_| self.replicas > 0) {
                self.sync(now_s, messages);
            }
        }
        self.replicas
    }

    /// KEDA.
    fn poll(&mut self, now_s: f64, messages: u64) {
        if messages > self.numbers.activation_value {
            self.active_s = now_s;
            if self.replicas == 0 {
                self.replicas = self.numbers.replicas_min.max(1);
            }
        } else if self.numbers.replicas_min == 0 && now_s - self.active_s >= self.numbers.cooldown_s {
            self.replicas = 0;
        }
    }

    /// The HPA.
    fn sync(&mut self, now_s: f64, messages: u64) {
        let wanted = wanted(messages, self.numbers.value, self.replicas);
        let wanted = wanted.clamp(self.numbers.replicas_min.max(1), self.numbers.replicas_max);
        let stable = self.stabilized(now_s, wanted);
        let next = self.within_rate(now_s, stable);
        if next != self.replicas {
            self.changes.push((now_s, i64::from(next) - i64::from(self.replicas)));
            self.replicas = next;
        }
    }

    /// Not below the highest that was found within the window for going down, not above the
    /// lowest within the one for going up.
    fn stabilized(&mut self, now_s: f64, wanted: u32) -> u32 {
        let within = |window_s: f64| {
            let since = now_s - window_s;
            self.found.iter().filter(move |(at, _)| *at > since).map(|(_, found)| *found)
        };
        let up = within(self.numbers.scale_up.stabilization_window_seconds).fold(wanted, u32::min);
        let down = within(self.numbers.scale_down.stabilization_window_seconds).fold(wanted, u32::max);
        self.found.push((now_s, wanted));
        self.replicas.max(up).min(down)
    }

    /// Not further than the policies let it go.
    fn within_rate(&self, now_s: f64, wanted: u32) -> u32 {
        let now = i64::from(self.replicas);
        let limits = |behaviour: &Behaviour, up: bool| -> Vec<i64> {
            let Select::Max = behaviour.select_policy;
            let each = behaviour.policies.iter();
            each.map(|policy| {
                let recent = self.changes.iter().filter(|(at, _)| *at > now_s - policy.period_seconds);
                // Where it stood when the period began.
                let before = now - recent.map(|(_, by)| by).sum::<i64>();
                match (policy.kind, up) {
                    (Kind::Pods, true) => before + policy.value as i64,
                    (Kind::Pods, false) => before - policy.value as i64,
                    (Kind::Percent, true) => (before as f64 * (1.0 + policy.value / 100.0)).ceil() as i64,
                    (Kind::Percent, false) => (before as f64 * (1.0 - policy.value / 100.0)) as i64,
                }
            })
            .collect()
        };
        let wanted = i64::from(wanted);
        let next = if wanted > now {
            let most = limits(&self.numbers.scale_up, true).into_iter().max();
            most.map_or(wanted, |most| wanted.min(most.max(now)))
        } else {
            let least = limits(&self.numbers.scale_down, false).into_iter().min();
            least.map_or(wanted, |least| wanted.max(least.min(now)))
        };
        next.max(0) as u32
    }
}

/// The HPA's formula for a metric per pod.
fn wanted(messages: u64, value: u32, replicas: u32) -> u32 {
    let ratio = messages as f64 / (f64::from(value) * f64::from(replicas));
    if (1.0 - ratio).abs() <= TOLERANCE { replicas } else { messages.div_ceil(u64::from(value)) as u32 }
}

#[test]
fn the_formulas_are_the_autoscalers() {
    for (messages, replicas, expected) in
        [(0, 3, 0), (1, 1, 1), (4, 1, 1), (5, 1, 2), (43, 10, 10), (45, 10, 12), (36, 10, 10), (35, 10, 9)]
    {
        assert_eq!(wanted(messages, 4, replicas), expected, "{messages} messages, {replicas} replicas");
    }

    // A full queue: KEDA starts one, the HPA adds four or doubles in each of its periods.
    let mut scaler = Scaler::new(Numbers::of("studio"));
    let trace: Vec<u32> = (0..5).map(|step| scaler.look(f64::from(step) * 15.0, Some(128))).collect();
    assert_eq!(trace, [5, 10, 20, 20, 20]);
    // Nobody answers: nothing changes.
    assert_eq!(scaler.look(75.0, None), 20);
    // A quarter of the queue: nothing for the length of the window, then a quarter a minute.
    let mut at_s = 75.0;
    let mut trace = Vec::new();
    while at_s < 75.0 + 540.0 {
        at_s += 15.0;
        let replicas = scaler.look(at_s, Some(20));
        if trace.last() != Some(&replicas) {
            trace.push(replicas);
        }
        assert!(replicas == 20 || at_s >= 60.0 + 300.0, "{replicas} replicas at {at_s}");
    }
    assert_eq!(trace, [20, 15, 11, 8, 6, 5]);
    // Empty: none, but not before the cooldown has passed.
    let empty_s = at_s;
    while scaler.look(at_s, Some(0)) > 0 {
        at_s += 15.0;
        assert!(at_s < empty_s + 400.0);
    }
    assert!(at_s - empty_s >= 285.0, "none after {} s", at_s - empty_s);
}
