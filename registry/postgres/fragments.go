package postgres

import "strings"

// fragments are parts that several statements share. A comment begins with the aliases of the
// tables that its fragment needs.
var fragments = strings.NewReplacer(
	// The database's time in microseconds.
	"{now}",
	"(extract(epoch FROM now()) * 1000000)::bigint",

	// The highest number that a revision or an entry of the rule log may have.
	"{most}",
	"4611686018427387903",

	// l: the owner has shown that it lives, by its lease, or by its instances while another session
	// held the lease.
	"{alive}",
	`({leased} OR EXISTS (SELECT FROM skerry_instance v
		WHERE v.cluster = l.cluster AND v.owner = l.owner AND v.gone = 0
		AND v.changed > now() - {valid} AND v.changed < now() + {ahead}))`,

	// l: the lease has not run out. A time far ahead of now remains from a clock that was set back.
	"{leased}",
	`(CASE WHEN {misdated} THEN coalesce((SELECT {settled} AND {pulsing} FROM skerry_cluster c
			WHERE c.cluster = @cluster), false)
		ELSE l.heartbeat > now() - {valid} AND l.heartbeat < now() + {ahead} END)`,

	// i, l: the same as {alive} for one instance; false without a lease.
	"{current}",
	`coalesce({leased} OR i.changed > now() - {valid} AND i.changed < now() + {ahead}, false)`,

	// The time that a value may be ahead of now without meaning that the clock was set back. It is
	// longer than the one of {pulsing} for the pulse, which is up to some seconds older than the
	// newest lease.
	"{ahead}",
	"greatest({pause} / 2, interval '10 seconds')",

	// i: the owner of a listed instance has shown no life for as long as its lease. A statement writes
	// an instance together with its lease, so one that was just written needs no look at it.
	"{lapsed}",
	`(i.gone = 0 AND NOT coalesce(i.changed > now() - interval '10 seconds' AND i.changed < now() + {ahead}, false)
		AND NOT EXISTS (SELECT FROM skerry_lease l
			WHERE l.cluster = i.cluster AND l.owner = i.owner AND {current}))`,

	// l: no skerry wrote this heartbeat, or the clock was set back by more than a day since. In a
	// settled cluster it was altered by hand, and counts until mendSQL has replaced it. In another one
	// it has run out, like every lease from before the clock was set back.
	"{misdated}",
	"coalesce(NOT isfinite(l.heartbeat) OR l.heartbeat > now() + interval '1 day', true)",

	// l: for how long a heartbeat counts.
	"{valid}",
	"CASE WHEN l.valid BETWEEN interval '0' AND interval '100 days' THEN l.valid ELSE interval '90 seconds' END",

	// c: processes have been writing for as long as every living process needs for a heartbeat.
	// Before that no lease expires: after an outage, a restart or a jump of the clock all leases
	// look old. The process that resumed may have begun after this statement and committed before
	// it read, so resumed may be ahead of now(). A start of the server ahead of now means that the
	// clock was set back, and tells nothing of the time of the start.
	"{settled}",
	`(NOT coalesce(c.resumed < now() + {pause} AND c.resumed > now() - {pause}, false)
		AND pg_postmaster_start_time() NOT BETWEEN now() - {pause} AND now())`,

	// c: processes are writing to the cluster. A pulse ahead of now remains from a clock that was
	// set back. That makes leases look old and counts as a break.
	"{pulsing}",
	"coalesce(c.pulse > now() - {pause} AND c.pulse < now() + greatest({pause} / 4, interval '5 seconds'), false)",

	// c: a process has just looked for leases that have run out.
	"{expiring}",
	"coalesce(c.pulse <= now() AND c.pulse > now() - {pause} / 4, false)",

	// The pause between notifications, in microseconds: 100 for each process. Negative when the row
	// is missing.
	"{spacing}",
	`coalesce((SELECT (extract(epoch FROM {gap}) * 1000000)::bigint FROM skerry_told t
		WHERE t.cluster = @cluster), -1)`,

	// t: the pause between notifications, and the time of the last one.
	"{gap}",
	"CASE WHEN t.pause BETWEEN interval '0' AND interval '10 seconds' THEN t.pause ELSE interval '0' END",
	"{toldat}",
	"CASE WHEN t.at <= now() + 4 * {gap} THEN t.at ELSE '-infinity' END", // notifySQL writes no later time

	// The newest entry of the rule log, or NULL.
	"{newest}",
	`(SELECT ARRAY[timeline, n] FROM skerry_rule WHERE cluster = @cluster AND {placed}
		ORDER BY timeline DESC, n DESC LIMIT 1)`,

	// Number and hash of the newest entry of the policy log, or NULL.
	"{policy}",
	`(SELECT n || ' ' || encode(hash, 'hex') FROM skerry_policy WHERE cluster = @cluster AND {fits}
		ORDER BY n DESC, hash DESC LIMIT 1)`,

	// The row of skerry_policy can be an entry: see maxRecord, and policylog for the highest number.
	"{fits}",
	"n BETWEEN 1 AND 9007199254740991 AND octet_length(record) <= 1048576",

	// The place in the rule log is in range.
	"{placed}",
	"timeline BETWEEN 0 AND 4294967295 AND n BETWEEN 1 AND {most}",

	// The rows that one statement expires or removes. A busy server does that well within the limit
	// of a statement. It is batchSize of duties.go.
	"{batch}",
	"1000",

	// l: a missing lease that clean has made less than {pause} ago. It has run out for every
	// reader, and its owner has the time to renew it.
	"{orphaned}",
	"(l.heartbeat = 'epoch' AND l.valid > now() - {pause} - 'epoch'::timestamptz)",

	// The state of the cluster's row of skerry_secret, or NULL. Each change of the row gives
	// another one.
	"{secret}",
	"(SELECT xmin::text FROM skerry_secret WHERE cluster = @cluster)",

	// The connections that the server still takes: of those for all users, of the role and of the
	// database. Counting a thousand takes milliseconds, so the statement counts at a site of more
	// than a hundred processes only when asked.
	"{free}",
	`CASE WHEN @crowd::boolean OR {spacing} <= 10000 THEN least(
		{connections} - (SELECT sum(numbackends) FROM pg_stat_database)::bigint,
		(SELECT least({rolelimit} - {roleused}, {dblimit} - {dbused}) FROM pg_roles u, pg_database d
			WHERE u.rolname = session_user AND d.datname = current_database())) END`,
	"{connections}",
	`(current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
		- coalesce(current_setting('reserved_connections', true)::bigint, 0))`,

	// u: the connections that the role may have (NULL: any number), and those that it has.
	"{rolelimit}",
	"CASE WHEN u.rolconnlimit >= 0 AND NOT u.rolsuper THEN u.rolconnlimit END",
	"{roleused}",
	`CASE WHEN u.rolconnlimit >= 0 AND NOT u.rolsuper THEN (SELECT count(*) FROM pg_stat_activity a
		WHERE a.usesysid = u.oid AND coalesce(a.backend_type, 'client backend') = 'client backend') END`,

	// d, u: the same for the database.
	"{dblimit}",
	"CASE WHEN d.datconnlimit >= 0 AND NOT u.rolsuper THEN d.datconnlimit END",
	"{dbused}",
	`(SELECT s.numbackends FROM pg_stat_database s WHERE s.datid = d.oid)`,

	// The tables are of a skerry before version 4, which shares none with later ones.
	"{old}",
	`EXISTS (SELECT FROM (VALUES ('skerry_schema', 'needs'), ('skerry_rule', 'record')) k(t, c)
		WHERE to_regclass(k.t) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = to_regclass(k.t) AND a.attname = k.c AND NOT a.attisdropped))`,

	// This connection may write.
	"{writable}",
	`(NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
		AND coalesce(has_table_privilege(to_regclass('skerry_cluster'), 'UPDATE'), false))`,

	// The owners in @owners with a lease that has run out.
	"{stale}",
	`ARRAY(SELECT o FROM unnest(@owners::text[]) o
		LEFT JOIN skerry_lease l ON l.cluster = @cluster AND l.owner = o
		WHERE l.owner IS NULL OR NOT {alive})`,

	// One row for each instance after the head, at least one row. Each way of reading has its own
	// statement, and so its own plan.
	"{delta}",
	`SELECT head.*, d.j, d.lapsed FROM head LEFT JOIN LATERAL (
		SELECT {row}::text AS j, {lapsed} AS lapsed
		FROM skerry_instance i WHERE i.cluster = @cluster AND i.rev > @since AND i.rev <= {most}
			AND (@services::text[] IS NULL OR i.service = ANY (@services)) LIMIT {many}) d ON true`,
	"{many}",
	"5000", // the same as many in sync.go

	// All instances of the services that {of} selects, with the age of the last heartbeat. Lapsed
	// ones are left out, at little cost for any number of them. While the cluster has not settled,
	// an instance is returned as lapsed when its owner lived at the last write before that (past),
	// which is ahead of now when the clock was set back. Of the removed ones the latest thousand are
	// returned.
	"{full}",
	`, past AS (
		SELECT max(l.heartbeat) AS at FROM skerry_lease l, skerry_cluster c
		WHERE l.cluster = @cluster AND c.cluster = @cluster AND isfinite(l.heartbeat)
			AND NOT ({pulsing} AND l.heartbeat >= c.resumed AND l.heartbeat < now() + {ahead})
	), living AS (
		SELECT l.owner FROM skerry_lease l WHERE l.cluster = @cluster AND {leased}
		UNION ALL SELECT i.owner FROM skerry_instance i WHERE i.cluster = @cluster
			AND i.changed > now() - @valid::bigint * interval '1 millisecond' AND i.changed < now() + {ahead}
	), waning AS (
		SELECT l.owner FROM skerry_lease l, head
		WHERE l.cluster = @cluster AND NOT head.settled
			AND l.heartbeat > (SELECT at FROM past) - {valid} AND NOT {leased}
		ORDER BY l.heartbeat DESC LIMIT 1000
	), removed AS (
		SELECT coalesce((SELECT g.rev FROM skerry_instance g
			WHERE g.cluster = @cluster AND g.gone > 0 AND g.rev <= {most}
			ORDER BY g.rev DESC OFFSET 1000 LIMIT 1), 0) AS rev
	)
	SELECT head.*, d.j, d.lapsed FROM head LEFT JOIN LATERAL (
		SELECT {beaten} AS j, false AS lapsed FROM {beating}
		WHERE i.cluster = @cluster {of} AND i.owner = ANY (ARRAY(SELECT owner FROM living)) AND (i.gone > 0) IS NOT TRUE
		UNION ALL
		SELECT {beaten}, false FROM {beating}
		WHERE i.cluster = @cluster {of} AND i.gone > 0 AND i.rev > (SELECT rev FROM removed)
		UNION ALL
		(SELECT {beaten}, true FROM {beating}
		WHERE i.cluster = @cluster {of} AND i.owner = ANY (ARRAY(SELECT owner FROM waning)) AND i.gone = 0
			AND i.owner NOT IN (SELECT owner FROM living) LIMIT 1000)) d ON true`,
	"{beating}",
	`skerry_instance i LEFT JOIN LATERAL (
		SELECT h.heartbeat FROM skerry_lease h WHERE h.cluster = i.cluster AND h.owner = i.owner OFFSET 0) l ON true`,
	"{beaten}",
	`({row}::jsonb || jsonb_build_object('b', CASE WHEN isfinite(l.heartbeat)
		THEN greatest(0, (extract(epoch FROM now() - l.heartbeat) * 1000)::bigint) END))::text`,

	// i: one instance as text for notify_payload.go, or the reason why it is odd (x), as far as the
	// database has to find that out.
	"{row}",
	`CASE WHEN {finite} AND {short} THEN
		json_strip_nulls(json_build_object(
		's', i.service, 'v', nullif(i.version, ''), 'h', i.host, 'p', i.port, 'o', i.owner,
		'pr', nullif(i.protocol, ''), 'z', nullif(i.zone, ''), 'w', nullif(i.weight, 0), 'tls', nullif(i.tls, false),
		'l', nullif(i.leaving, false), 't', nullif(coalesce(i.tags, '[]'), '{}'), 'g', nullif(coalesce(i.gone, -1), 0),
		'a', (extract(epoch FROM now() - i.started) * 1000)::bigint,
		'c', CASE WHEN i.gone > 0 THEN (extract(epoch FROM now() - i.changed) * 1000)::bigint END))
	ELSE json_build_object('s', left(i.service, 80), 'h', left(i.host, 80), 'p', i.port, 'o', left(i.owner, 80), 'x',
		CASE WHEN NOT {short} THEN 'its text is longer than any that skerry writes'
			ELSE 'rev ' || coalesce(i.rev::text, 'NULL') || ', started ' || coalesce(i.started::text, 'NULL')
				|| ', changed ' || coalesce(i.changed::text, 'NULL') || ': one of them is impossible' END) END`,
	"{finite}",
	"(i.rev BETWEEN 1 AND {most} AND isfinite(i.started) AND isfinite(i.changed)) IS TRUE",
	"{short}",
	`coalesce(octet_length(i.service) + octet_length(i.version) + octet_length(i.host) + octet_length(i.owner)
		+ octet_length(i.protocol) + octet_length(i.zone) + octet_length(i.tags::text) < 4096, true)`,

	// i: the owner need not write this row again. It checks more than {row} needs, so that a row
	// altered by hand is written again soon.
	"{sane}",
	`({finite} AND {short} AND i.weight BETWEEN -1 AND 10000 AND jsonb_typeof(i.tags) = 'object'
		AND NOT i.tags @? '$.* ? (@.type() <> "string")') IS TRUE`,

	// The next revision. One that is out of range is replaced by the time.
	"{next}",
	"CASE WHEN rev BETWEEN 1 AND {most} - 1 THEN rev + 1 ELSE {now} END",
	"{keep}",
	"CASE WHEN kept BETWEEN 0 AND {most} THEN kept ELSE {now} END",

	// bump: one row when this statement notifies the listeners: no earlier change waits, and the
	// pause is over. Otherwise notifySQL notifies later.
	"{telling}",
	`telling AS (
		UPDATE skerry_told t SET rev = b.rev, at = now() FROM bump b
		WHERE t.cluster = @cluster AND @channel::text <> '' AND t.rev >= b.rev - 1
			AND NOT now() BETWEEN {toldat} AND {toldat} + {gap}
		RETURNING b.rev - 1 AS since, b.rev, {gap} AS pause)`,

	// telling, changed: notify the listeners, with the content when it fits.
	"{notify}",
	`pg_notify(@channel, CASE WHEN octet_length(n.full) < 7900 THEN n.full ELSE n.hint END)::text
	FROM (SELECT
		json_build_object('c', @cluster::text, 'f', b.since, 'r', b.rev,
			'i', coalesce((SELECT json_agg(x.j) FROM changed x), '[]'))::text AS full,
		json_build_object('c', @cluster::text, 'r', b.rev,
			'p', (5000 * extract(epoch FROM b.pause))::bigint)::text AS hint
		FROM telling b) n`,
)
