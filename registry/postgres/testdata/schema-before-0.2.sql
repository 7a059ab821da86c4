-- The tables of skerry, version 3. Running this twice changes nothing.

CREATE TABLE IF NOT EXISTS skerry_schema (
    version integer     PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT now()
);

-- When somebody last wrote (pulse), since when that has been so without a
-- break (resumed), and when old rows were last removed (cleaned).
CREATE TABLE IF NOT EXISTS skerry_cluster (
    cluster text        PRIMARY KEY,
    pulse   timestamptz NOT NULL DEFAULT now(),
    resumed timestamptz NOT NULL DEFAULT now(),
    cleaned timestamptz NOT NULL DEFAULT now()
);

-- The number of the latest change. Whoever changes instances holds this row
-- until the commit, so numbers become visible in order. Removed rows with
-- numbers up to kept have been deleted. A new row starts at the time in
-- microseconds, above every number that an earlier table may have had.
CREATE TABLE IF NOT EXISTS skerry_revision (
    cluster text   PRIMARY KEY,
    rev     bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint,
    kept    bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint
);

-- What the listeners have been told: the changes up to rev, at that time. The
-- next notification comes after the pause at the earliest, which grows with
-- the number of processes: when all of a site start at once, what they list is
-- told in some notifications, not in one for each. (Version 3.)
CREATE TABLE IF NOT EXISTS skerry_told (
    cluster text        PRIMARY KEY,
    rev     bigint      NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    pause   interval    NOT NULL DEFAULT '0'
) WITH (fillfactor = 50);

-- One row for each process that offers something: the only row that a
-- heartbeat writes. No index on what it writes.
CREATE TABLE IF NOT EXISTS skerry_lease (
    cluster   text        NOT NULL,
    owner     text        NOT NULL, -- host/pid/epoch of the process
    heartbeat timestamptz NOT NULL,
    valid     interval    NOT NULL, -- how long after the heartbeat the process counts as alive
    PRIMARY KEY (cluster, owner)
) WITH (fillfactor = 50, autovacuum_analyze_threshold = 2000000000); -- new statistics make every process plan anew

-- One row for each registration. gone: 0 listed, 1 withdrawn, 2 expired.
CREATE TABLE IF NOT EXISTS skerry_instance (
    cluster  text        NOT NULL,
    service  text        NOT NULL,
    version  text        NOT NULL,
    host     text        NOT NULL,
    port     integer     NOT NULL,
    owner    text        NOT NULL,
    protocol text        NOT NULL,
    zone     text        NOT NULL,
    weight   integer     NOT NULL,
    tls      boolean     NOT NULL,
    tags     jsonb       NOT NULL,
    started  timestamptz NOT NULL,
    rev      bigint      NOT NULL,
    gone     smallint    NOT NULL DEFAULT 0,
    changed  timestamptz NOT NULL,
    PRIMARY KEY (cluster, service, version, host, port, owner)
);
CREATE INDEX IF NOT EXISTS skerry_instance_rev ON skerry_instance (cluster, rev);
CREATE INDEX IF NOT EXISTS skerry_instance_owner ON skerry_instance (cluster, owner);

-- The service registry as a person reads it.
CREATE OR REPLACE VIEW skerry_service_registry AS
SELECT i.cluster, i.service, i.host, i.port, i.version,
       l.heartbeat AS last_heartbeat,
       now() - l.heartbeat AS age,
       coalesce(l.heartbeat + l.valid > now(), false) AS alive,
       i.protocol, i.zone, i.weight, i.tls, i.tags, i.started, i.owner
FROM skerry_instance i
LEFT JOIN skerry_lease l ON l.cluster = i.cluster AND l.owner = i.owner
WHERE i.gone = 0
ORDER BY i.cluster, i.service, i.version, i.host, i.port;

-- The service health statistics: what one process counted in one period.
CREATE TABLE IF NOT EXISTS skerry_call_stat (
    cluster   text        NOT NULL,
    host      text        NOT NULL, -- of the process that counted
    port      integer     NOT NULL, -- 0: it offers nothing
    service   text        NOT NULL,
    method    text        NOT NULL,
    side      text        NOT NULL, -- client or server
    peer      text        NOT NULL, -- client side: the provider's host:port; server side: the caller
    from_at   timestamptz NOT NULL,
    to_at     timestamptz NOT NULL,
    calls     bigint      NOT NULL,
    failures  bigint      NOT NULL,
    app_error bigint      NOT NULL,
    timeout   bigint      NOT NULL,
    canceled  bigint      NOT NULL,
    refused   bigint      NOT NULL,
    connect   bigint      NOT NULL,
    broken    bigint      NOT NULL,
    internal  bigint      NOT NULL,
    rejected  bigint      NOT NULL,
    sum_ms    double precision NOT NULL,
    p50_ms    double precision NOT NULL,
    p99_ms    double precision NOT NULL,
    max_ms    double precision NOT NULL,
    owner     text        NOT NULL,
    version   text        NOT NULL DEFAULT '' -- of the provider that was called; '': none, or written before version 3
);
CREATE INDEX IF NOT EXISTS skerry_call_stat_to ON skerry_call_stat (cluster, to_at);

-- The rule log: which version of a service a request may meet, and every step
-- of every release. Rows are only added. (Version 2.)
CREATE TABLE IF NOT EXISTS skerry_rule (
    cluster  text        NOT NULL,
    timeline bigint      NOT NULL, -- a new one begins when the database was restored from an older copy
    n        bigint      NOT NULL, -- dense
    previous text        NOT NULL, -- hash of the entry before
    hash     text        NOT NULL,
    entry    jsonb       NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, timeline, n)
);

-- Version 3: statistics tell the versions of a service apart. Only the owner
-- of the table may add to it, so nobody else tries when it is there.
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = 'skerry_call_stat'::regclass AND attname = 'version') THEN
        ALTER TABLE skerry_call_stat ADD COLUMN version text NOT NULL DEFAULT '';
    END IF;
END $$;

INSERT INTO skerry_schema (version) VALUES (1), (2), (3) ON CONFLICT DO NOTHING;
