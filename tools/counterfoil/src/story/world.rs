//! What the story is about: products, things that break, and the rules they are judged by. All text is plain ASCII that
//! JSON needs no escape for.

/// Something that goes wrong again and again, and the released recipe for it.
pub(super) struct Problem {
    pub(super) signature: &'static str,
    pub(super) alert: &'static str,
    pub(super) unit: &'static str,
    pub(super) config: &'static str,
    pub(super) recipe: &'static str,
    pub(super) steps: &'static [Action],
    pub(super) logs: &'static [&'static str],
}

/// One typed action of a recipe.
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) effect: &'static str,
    pub(super) undo: &'static str,
}

const RENDER: Action = Action { name: "file.render", effect: "idempotent", undo: "file.restore" };
const PATCH: Action = Action { name: "file.patch", effect: "fenced", undo: "file.restore" };
const RELOAD: Action = Action { name: "unit.reload", effect: "idempotent", undo: "unit.reload" };
const RESTART: Action = Action { name: "unit.restart", effect: "idempotent", undo: "unit.restart" };
const DRAIN: Action = Action { name: "http.drain", effect: "fenced", undo: "http.undrain" };
const ROTATE: Action = Action { name: "http.rotate-key", effect: "once", undo: "http.revoke-key" };

pub(super) const PROBLEMS: &[Problem] = &[
    Problem {
        signature: "tls.certificate.expiring",
        alert: "certificate of the public listener expires in less than 72 hours",
        unit: "edge-proxy.service",
        config: "/etc/edge-proxy/listeners.toml",
        recipe: "renew-edge-certificate",
        steps: &[RENDER, RELOAD],
        logs: &[
            "acme: order is still pending, dns-01 challenge not visible at the authoritative servers",
            "listener public-443: certificate not_after is within the warning window",
            "acme: retry scheduled by back-off policy",
        ],
    },
    Problem {
        signature: "database.pool.exhausted",
        alert: "connection pool of the order service has no free connection for 120 s",
        unit: "orders-api.service",
        config: "/etc/orders-api/pool.toml",
        recipe: "resize-connection-pool",
        steps: &[PATCH, DRAIN, RESTART],
        logs: &[
            "pool: acquire timed out after 5000 ms, waiters are above the limit",
            "pool: connection returned after its statement was cancelled by the server",
            "http: upstream answered 503 to POST /v2/orders",
            "pool: idle connections 0, in use 64, limit 64",
        ],
    },
    Problem {
        signature: "disk.space.low",
        alert: "volume with write-ahead files is above 92 percent",
        unit: "telemetry-store.service",
        config: "/etc/telemetry-store/retention.toml",
        recipe: "shorten-telemetry-window",
        steps: &[RENDER, RELOAD],
        logs: &[
            "compactor: skipped a level, not enough free space for the merge",
            "volume: free blocks below the soft limit, writes are throttled",
            "segment rotated early because of space pressure",
        ],
    },
    Problem {
        signature: "queue.consumer.lag",
        alert: "billing consumer is more than 500000 messages behind",
        unit: "billing-consumer.service",
        config: "/etc/billing-consumer/consumer.toml",
        recipe: "rebalance-billing-consumer",
        steps: &[PATCH, RESTART],
        logs: &[
            "consumer: rebalance took longer than the session timeout, partition lost",
            "consumer: fetch returned 0 records while the high watermark moved",
            "commit of offsets was refused, generation is stale",
        ],
    },
    Problem {
        signature: "api.key.leaked",
        alert: "an integration key was found in a public build log",
        unit: "partner-gateway.service",
        config: "/etc/partner-gateway/keys.toml",
        recipe: "rotate-partner-key",
        steps: &[ROTATE, RENDER, RELOAD],
        logs: &[
            "auth: key used from a network that is not on the allow list of the partner",
            "auth: request signed by a key that is flagged for rotation",
            "rate limiter: burst above the contract of the partner",
        ],
    },
    Problem {
        signature: "cache.hit.ratio.dropped",
        alert: "hit ratio of the image cache fell below 8500 basis points",
        unit: "image-cache.service",
        config: "/etc/image-cache/policy.toml",
        recipe: "restore-cache-policy",
        steps: &[RENDER, RELOAD],
        logs: &[
            "policy: unknown vary header, object stored once for each client",
            "eviction: working set is larger than the configured memory",
            "origin: fetch of a hot object repeated within one second",
        ],
    },
    Problem {
        signature: "config.drift.detected",
        alert: "running configuration differs from its released specification",
        unit: "branch-router.service",
        config: "/etc/branch-router/routes.toml",
        recipe: "reapply-router-spec",
        steps: &[PATCH, DRAIN, RELOAD, RESTART],
        logs: &[
            "routes: entry without an owner in the specification, kept until the next release",
            "watch: file changed outside of the deployment, digest differs",
            "routes: metric of the backup path is lower than of the primary",
        ],
    },
];

pub(super) const SKUS: &[&str] = &[
    "SKU-BRANCH-ROUTER-40",
    "SKU-EDGE-PROXY-210",
    "SKU-IMAGE-CACHE-16",
    "SKU-ORDER-CLOUD-STD",
    "SKU-PARTNER-GATE-PRO",
    "SKU-TELEMETRY-7Y",
];
pub(super) const SITES: &[&str] = &["ams2", "fra1", "hel1", "iad3", "nrt1", "osl1", "sfo2", "syd1", "zrh4"];
pub(super) const ROLES: &[&str] = &["cache", "db", "edge", "gw", "mq", "router", "web"];

/// How bad it is, and the response time promised for it in seconds.
pub(super) const SEVERITIES: &[(&str, u64)] = &[("CRITICAL", 180), ("HIGH", 480), ("MEDIUM", 900), ("LOW", 1800)];

pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) extractor: &'static str,
}

pub(super) const SOURCES: &[Source] = &[
    Source { name: "journal", extractor: "journal-lines/3" },
    Source { name: "metrics", extractor: "metric-window/2" },
    Source { name: "config", extractor: "config-digest/1" },
    Source { name: "http-probe", extractor: "probe-result/2" },
];

/// A gate of the decision: what it asks, and what a refusal by it says.
pub(super) struct Gate {
    pub(super) id: &'static str,
    pub(super) asks: &'static str,
    pub(super) policy: &'static str,
    pub(super) missing: &'static str,
    pub(super) next: &'static str,
}

pub(super) const GATES: &[Gate] = &[
    Gate {
        id: "G01",
        asks: "insurance is active and was verified within 3600 s",
        policy: "insurance-active/3",
        missing: "insurance certificate verified within 3600 s",
        next: "verify the insurance certificate again",
    },
    Gate {
        id: "G02",
        asks: "the specification version is known",
        policy: "spec-known/2",
        missing: "released specification for the running version",
        next: "release the specification, see docs/specs.md",
    },
    Gate {
        id: "G03",
        asks: "the customer agreement is in force",
        policy: "msa-in-force/4",
        missing: "customer agreement in force on this day",
        next: "ask contracts to release the renewed agreement",
    },
    Gate {
        id: "G04",
        asks: "the product is not quarantined",
        policy: "sku-not-quarantined/1",
        missing: "gate receipts that lift the quarantine",
        next: "resolve the open Andon with root cause, fix and prevention",
    },
    Gate {
        id: "G05",
        asks: "the remedy is reversible or touches one host",
        policy: "remedy-safe/5",
        missing: "undo for a step that touches more than one host",
        next: "narrow the incident to one host or release a recipe with undo",
    },
    Gate {
        id: "G06",
        asks: "the evidence is complete and fresh",
        policy: "evidence-fresh/2",
        missing: "evidence captured within 900 s",
        next: "capture the stale evidence again",
    },
    Gate {
        id: "G07",
        asks: "no hold or retention covers data to be deleted",
        policy: "no-hold/1",
        missing: "release of the legal hold on the affected stream",
        next: "ask the records officer about the hold",
    },
    Gate {
        id: "G08",
        asks: "the entitlement covers product and limits",
        policy: "entitlement-covers/3",
        missing: "entitlement for this product and rate",
        next: "ask the account team to extend the entitlement",
    },
    Gate {
        id: "G09",
        asks: "a work slot is held",
        policy: "wip-slot/1",
        missing: "free work slot",
        next: "wait for the next slot, the queue keeps its place",
    },
];
