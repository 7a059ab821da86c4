-- The tables of skerry, version 6. To run this twice changes nothing. The first
-- statement holds off other processes that do the same: a second creation of
-- skerry_schema waits for the first, and only a role that may create tables
-- here can make it wait.
BEGIN;

-- Which version the tables have, and the lowest version of them that a program
-- must know to use them (needs). The row with the highest version counts.
CREATE TABLE IF NOT EXISTS skerry_schema (
    version integer     PRIMARY KEY,
    needs   integer     NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
LOCK TABLE skerry_schema IN SHARE ROW EXCLUSIVE MODE;

-- When the site last wrote (pulse), since when that has been so without a
-- break (resumed), and when old rows were last removed (cleaned).
CREATE TABLE IF NOT EXISTS skerry_cluster (
    cluster text        PRIMARY KEY,
    pulse   timestamptz NOT NULL DEFAULT now(),
    resumed timestamptz NOT NULL DEFAULT now(),
    cleaned timestamptz NOT NULL DEFAULT now()
);

-- The number of the latest change. A writer of instances holds this row until
-- the commit, so numbers become visible in order. Removed rows with numbers up
-- to kept have been deleted. A new row starts at the time in microseconds,
-- above every number that an earlier table may have had.
CREATE TABLE IF NOT EXISTS skerry_revision (
    cluster text   PRIMARY KEY,
    rev     bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint,
    kept    bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint
);

-- What the listeners have been told: the changes up to rev, at that time. The
-- next notification comes after the pause at the earliest, which grows with
-- the number of processes: when all of a site start at once, what they list is
-- told in some notifications, not in one for each.
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
    leaving  boolean     NOT NULL DEFAULT false, -- it is stopping, and still executes what comes
    PRIMARY KEY (cluster, service, version, host, port, owner)
);

-- ALTER TABLE and CREATE INDEX lock their table although there is nothing to do.
-- A process that finds the tables made must not wait for the writers of others.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = 'skerry_instance'::regclass AND attname = 'leaving' AND NOT attisdropped) THEN
        ALTER TABLE skerry_instance ADD COLUMN leaving boolean NOT NULL DEFAULT false; -- since version 5
    END IF;
    IF NOT EXISTS (SELECT FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
            WHERE x.indrelid = 'skerry_instance'::regclass AND c.relname = 'skerry_instance_rev') THEN
        CREATE INDEX skerry_instance_rev ON skerry_instance (cluster, rev);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
            WHERE x.indrelid = 'skerry_instance'::regclass AND c.relname = 'skerry_instance_owner') THEN
        CREATE INDEX skerry_instance_owner ON skerry_instance (cluster, owner);
    END IF;
END $$;

-- The service registry as a person reads it. A later version may have more
-- columns in it, so it is left as it is.
DO $$ BEGIN
    IF to_regclass('skerry_service_registry') IS NULL THEN
        CREATE VIEW skerry_service_registry AS
        SELECT i.cluster, i.service, i.host, i.port, i.version,
               l.heartbeat AS last_heartbeat,
               CASE WHEN isfinite(l.heartbeat) THEN now() - l.heartbeat END AS age,
               coalesce(l.heartbeat < now() + interval '10 seconds' AND l.heartbeat > now()
                   - CASE WHEN l.valid BETWEEN interval '0' AND interval '100 days' THEN l.valid ELSE interval '90 seconds' END, false) AS alive,
               i.protocol, i.zone, i.weight, i.tls, i.tags, i.started, i.owner
        FROM skerry_instance i
        LEFT JOIN skerry_lease l ON l.cluster = i.cluster AND l.owner = i.owner
        WHERE i.gone = 0
        ORDER BY i.cluster, i.service, i.version, i.host, i.port;
    END IF;
END $$;

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
    version   text        NOT NULL DEFAULT '' -- of the provider that was called; '': none
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
            WHERE x.indrelid = 'skerry_call_stat'::regclass AND c.relname = 'skerry_call_stat_to') THEN
        CREATE INDEX skerry_call_stat_to ON skerry_call_stat (cluster, to_at);
    END IF;
END $$;

-- The rule log: which version of a service a request may meet, and every step
-- of every release. Rows are only added. A record is kept byte for byte.
CREATE TABLE IF NOT EXISTS skerry_rule (
    cluster  text        NOT NULL,
    timeline bigint      NOT NULL, -- a new one begins when the database was restored from an older copy
    n        bigint      NOT NULL, -- dense
    hash     bytea       NOT NULL, -- of the entry's body
    record   bytea       NOT NULL, -- the body and its proofs
    written  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, timeline, n)
);

-- The end of the rule log. A writer of rules holds this row, which takes the
-- right to update it, so that writers go one after the other.
CREATE TABLE IF NOT EXISTS skerry_head (
    cluster  text   PRIMARY KEY,
    timeline bigint NOT NULL DEFAULT 0,
    n        bigint NOT NULL DEFAULT 0,
    hash     bytea  NOT NULL DEFAULT ''
);

-- The policy log: the site's rules for calls, each change of them as a whole
-- text. Rows are only added. Of one cluster the row with the highest number
-- counts, and of several with one number the one with the highest hash. A
-- record is kept byte for byte. Since version 6.
CREATE TABLE IF NOT EXISTS skerry_policy (
    cluster text        NOT NULL,
    n       bigint      NOT NULL,
    hash    bytea       NOT NULL, -- of the entry's body
    record  bytea       NOT NULL, -- a line with the proofs, then the body: two lines, and the text
    written timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster, n, hash)
);

-- What members of the site know: the name of the channel that notifications go
-- to, and the site's keys. The first key signs, all verify.
CREATE TABLE IF NOT EXISTS skerry_secret (
    cluster text        PRIMARY KEY,
    channel text        NOT NULL,
    keys    text[]      NOT NULL DEFAULT '{}',
    changed timestamptz NOT NULL DEFAULT now()
);
REVOKE ALL ON skerry_secret FROM PUBLIC;

INSERT INTO skerry_schema (version, needs) VALUES (6, 4) ON CONFLICT DO NOTHING;
COMMIT;
