//! What the receipts of the story say: one function for each kind, keys in order.

use super::json::Json;
use super::random::Random;
use super::world::{Action, GATES, Gate};
use super::{Incident, Moment, SOURCES, Verdict};

/// A log line is shorter than this, in bytes.
const LINE_LEN_MAX: usize = 170;
const PAYLOAD_LEN_MAX: usize = 2048;
/// What follows the lines of an excerpt, at most.
const TAIL_LEN_MAX: usize = 160;

impl Incident {
    /// Fills in the object that the receipt of this moment carries.
    pub(super) fn write_payload(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        match self.moment {
            Moment::Alert => self.alert(at_ms, random, json),
            Moment::Opened => self.opened(at_ms, json),
            Moment::Enqueued => self.enqueued(at_ms, random, json),
            Moment::Leased => self.leased(at_ms, random, json),
            Moment::Investigating => self.investigating(at_ms, json),
            Moment::Evidence { left } => self.evidence(left, at_ms, random, json),
            Moment::Gate { number } => self.gate(number, at_ms, random, json),
            Moment::Refused => self.refused(at_ms, random, json),
            Moment::Approved => self.approved(at_ms, random, json),
            Moment::Planned => self.planned(at_ms, random, json),
            Moment::Intent { step, undo } => self.intent(step, undo, at_ms, json),
            Moment::Outcome { step, undo, failed } => self.outcome(step, undo, failed, at_ms, random, json),
            Moment::Completed => self.completed(at_ms, random, json),
            Moment::Verifying => self.verifying(at_ms, json),
            Moment::Verified => self.verified(at_ms, random, json),
            Moment::Closed => self.closed(at_ms, random, json),
        }
    }

    fn alert(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.text("alert", self.problem.alert)
            .number("at_ms", at_ms)
            .text("customer", &self.customer)
            .digest("fingerprint", self.fingerprint)
            .text("host", &self.host)
            .list("policy_refs", ["intake/4"])
            .number("repeats", random.between(1, 30))
            .text("severity", self.severity)
            .text("signature", self.problem.signature)
            .text("sku", self.sku);
    }

    fn opened(&self, at_ms: u64, json: &mut Json) {
        json.number("at_ms", at_ms)
            .text("customer", &self.customer)
            .text("host", &self.host)
            .text("incident", self.name())
            .list("policy_refs", ["intake/4", "sla-response/2"])
            .number("response_due_ms", self.opened_ms + self.response_s * 1000)
            .text("severity", self.severity)
            .text("signature", self.problem.signature)
            .text("sku", self.sku);
    }

    fn enqueued(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("ahead", random.between(0, 40))
            .number("at_ms", at_ms)
            .text("incident", self.name())
            .list("policy_refs", ["queue-order/2"])
            .text("reason", if self.round == 0 { "NEW" } else { "NEW_EVIDENCE" })
            .number("response_due_ms", self.opened_ms + self.response_s * 1000)
            .text("tenant", &self.customer);
    }

    fn leased(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .number("epoch", self.round)
            .text("holder", random.pick(&["decide-1", "decide-2", "decide-3"]))
            .text("incident", self.name())
            .list("policy_refs", ["wip-slot/1"])
            .list("resources", [self.host.as_str(), self.problem.config])
            .number("ttl_ms", 120_000);
    }

    fn investigating(&self, at_ms: u64, json: &mut Json) {
        json.number("at_ms", at_ms)
            .number("epoch", self.round)
            .list("evidence_needed", SOURCES.iter().map(|source| source.name))
            .text("incident", self.name())
            .list("policy_refs", ["evidence-fresh/2"])
            .text("signature", self.problem.signature);
    }

    fn evidence(&self, left: u8, at_ms: u64, random: &mut Random, json: &mut Json) {
        let source = &SOURCES[usize::from(left) % SOURCES.len()];
        json.number("captured_ms", at_ms)
            .digest("content_sha256", random.words())
            .text("extractor", source.extractor)
            .text("host", &self.host)
            .text("incident", self.name());
        match source.name {
            "journal" => self.excerpt(at_ms, random, json),
            "metrics" => samples(random, json),
            "config" => {
                json.text("path", self.problem.config).list("policy_refs", ["evidence-fresh/2"]);
            }
            _ => {
                json.list("policy_refs", ["evidence-fresh/2"])
                    .text("probe", "GET /healthz")
                    .number("responded_us", random.between(300, 90_000));
            }
        }
        json.text("source", source.name);
        match source.name {
            "config" => {
                json.digest("spec_sha256", self.config[1]).digest("value_sha256", self.config[0]);
            }
            "http-probe" => {
                json.number("status", random.pick(&[200, 429, 500, 503]));
            }
            _ => {}
        }
    }

    /// Log lines up to a length drawn at random.
    fn excerpt(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        let end = usize::try_from(random.between(700, 2048)).expect("a payload is short");
        let end = end.min(PAYLOAD_LEN_MAX - TAIL_LEN_MAX);
        let mut line_ms = at_ms - 60_000;
        json.open_list("lines");
        while json.len() + LINE_LEN_MAX < end {
            line_ms += random.between(1, 4000);
            let message = random.pick(self.problem.logs);
            json.log_item(line_ms, [&self.host, self.problem.unit, message], random.between(80, 6_000_000));
        }
        json.close_list().list("policy_refs", ["evidence-fresh/2", "log-redaction/3"]);
    }

    fn gate(&self, number: u8, at_ms: u64, random: &mut Random, json: &mut Json) {
        let gate = &GATES[usize::from(number)];
        json.text("asks", gate.asks)
            .number("at_ms", at_ms)
            .number("epoch", self.round)
            .digest("facts_sha256", random.words())
            .text("gate", gate.id)
            .text("incident", self.name())
            .list("policy_refs", [gate.policy])
            .text("verdict", if self.verdict.passes(number) { "PASS" } else { "FAIL" });
    }

    fn refused(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .digest("decision_sha256", random.words())
            .text("engine", "mu/1.4.2")
            .number("epoch", self.round)
            .text("incident", self.name());
        if let Verdict::Undone { step } = self.verdict {
            let step = self.problem.steps[usize::from(step)].name;
            json.list("missing", ["a recipe whose step succeeds here"])
                .list("next", ["read the step receipts, then release a corrected recipe"])
                .list("policy_refs", ["undo-complete/1"])
                .list("reasons", ["STEP_FAILED_UNDONE", step]);
        } else {
            let all = |part: fn(&Gate) -> &'static str| self.failing().map(part);
            json.list("missing", all(|gate| gate.missing))
                .list("next", all(|gate| gate.next))
                .list("policy_refs", all(|gate| gate.policy))
                .list("reasons", all(|gate| gate.id));
        }
        json.text("recipe", self.problem.recipe);
    }

    fn failing(&self) -> impl Iterator<Item = &'static Gate> + '_ {
        (0..).zip(GATES).filter(|(number, _)| !self.verdict.passes(*number)).map(|(_, gate)| gate)
    }

    fn approved(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("as_of_ms", at_ms)
            .digest("decision_sha256", random.words())
            .text("engine", "mu/1.4.2")
            .number("epoch", self.round)
            .digest("evidence_sha256", random.words())
            .text("incident", self.name())
            .digest("library_sha256", random.words())
            .list("policy_refs", GATES.iter().map(|gate| gate.policy))
            .text("recipe", self.problem.recipe);
    }

    fn planned(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .number("blast_radius", 1)
            .number("cost_limit_micros", random.between(50_000, 900_000))
            .number("epoch", self.round)
            .text("host", &self.host)
            .text("incident", self.name())
            .digest("plan_sha256", random.words())
            .list("policy_refs", ["remedy-safe/5"])
            .text("recipe", self.problem.recipe)
            .number("runtime_limit_ms", 300_000)
            .list("steps", self.problem.steps.iter().map(|step| step.name))
            .digest("value_sha256", self.config[1]);
    }

    fn step(&self, step: u8, undo: bool) -> (&'static str, &'static Action) {
        let action = &self.problem.steps[usize::from(step)];
        (if undo { action.undo } else { action.name }, action)
    }

    fn intent(&self, step: u8, undo: bool, at_ms: u64, json: &mut Json) {
        let (name, action) = self.step(step, undo);
        json.text("action", name)
            .number("at_ms", at_ms)
            .text("direction", if undo { "UNDO" } else { "DO" })
            .text("effect", action.effect)
            .number("epoch", self.round)
            .text("host", &self.host)
            .text("incident", self.name())
            .list("policy_refs", ["intent-before-effect/1"])
            .number("step", u64::from(step) + 1)
            .text("target", self.problem.config);
    }

    fn outcome(&self, step: u8, undo: bool, failed: bool, at_ms: u64, random: &mut Random, json: &mut Json) {
        let (name, _) = self.step(step, undo);
        json.text("action", name)
            .digest("after_sha256", self.config[usize::from(!undo && !failed)])
            .number("at_ms", at_ms)
            .digest("before_sha256", self.config[usize::from(undo)])
            .number("epoch", self.round)
            .text("incident", self.name())
            .text("outcome", if failed { "FAILED" } else { "DONE" })
            .list("policy_refs", ["intent-before-effect/1"])
            .number("step", u64::from(step) + 1)
            .number("took_ms", random.between(4, 9000));
    }

    fn completed(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .number("cost_micros", random.between(900, 48_000))
            .number("epoch", self.round)
            .text("incident", self.name())
            .list("policy_refs", ["remedy-safe/5"])
            .text("recipe", self.problem.recipe)
            .number("steps_done", self.problem.steps.len() as u64)
            .digest("value_sha256", self.config[1]);
    }

    fn verifying(&self, at_ms: u64, json: &mut Json) {
        json.number("at_ms", at_ms)
            .list("checks", ["config-digest", "http-probe", "signature-absent"])
            .text("incident", self.name())
            .list("policy_refs", ["verify-after-change/2"])
            .text("signature", self.problem.signature)
            .number("window_ms", 60_000);
    }

    fn verified(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .list("checks_passed", ["config-digest", "http-probe", "signature-absent"])
            .text("incident", self.name())
            .list("policy_refs", ["verify-after-change/2"])
            .number("responded_us", random.between(300, 4000))
            .text("result", "PASSED")
            .digest("value_sha256", self.config[1]);
    }

    fn closed(&self, at_ms: u64, random: &mut Random, json: &mut Json) {
        json.number("at_ms", at_ms)
            .number("cost_micros", random.between(1200, 95_000))
            .text("customer", &self.customer)
            .text("incident", self.name())
            .number("open_for_ms", at_ms - self.opened_ms)
            .text("outcome", if self.verdict == Verdict::Pass { "RESOLVED" } else { "REFUSED" })
            .list("policy_refs", ["sla-response/2", "close-with-proof/1"])
            .number("rounds", self.round)
            .text("severity", self.severity);
    }
}

/// A window of measurements, one each five seconds, in basis points.
fn samples(random: &mut Random, json: &mut Json) {
    json.list("policy_refs", ["evidence-fresh/2"]).open_list("samples_bp");
    for _ in 0..random.between(12, 61) {
        json.number_item(random.between(0, 10_001));
    }
    json.close_list();
}
