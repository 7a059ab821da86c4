package postgres

import "strings"

// fragments that several statements share.
var fragments = strings.NewReplacer(
	// The database's time in microseconds.
	"{now}",
	"(extract(epoch FROM now()) * 1000000)::bigint",

	// The highest number that a revision or an entry of the rule log may have.
	"{most}",
	"4611686018427387903",

	// l: its owner has shown that it lives, by its lease, or by its instances
	// while another session held the lease.
	"{alive}",
	`({leased} OR EXISTS (SELECT FROM skerry_instance v
		WHERE v.cluster = l.cluster AND v.owner = l.owner AND v.gone = 0
		AND v.changed > now() - {valid} AND v.changed < now() + {ahead}))`,

	// l: the lease has not run out. A time far ahead of now is left from a clock
	// that was set back.
	"{leased}",
	"({misdated} OR l.heartbeat > now() - {valid} AND l.heartbeat < now() + {ahead})",

	// i, l: the same as {alive} for one instance; false without a lease.
	"{current}",
	`coalesce({leased} OR i.changed > now() - {valid} AND i.changed < now() + {ahead}, false)`,

	// How far a time may be ahead of now and yet be no sign that the clock was
	// set back: more than {pulsing} allows the pulse, which is up to some
	// seconds older than the newest lease.
	"{ahead}",
	"greatest({pause} / 2, interval '10 seconds')",

	// l: no skerry wrote this heartbeat. It counts until a process that may write
	// has replaced it by now.
	"{misdated}",
	"coalesce(NOT isfinite(l.heartbeat) OR l.heartbeat > now() + interval '1 day', true)",

	// l: for how long a heartbeat counts.
	"{valid}",
	"CASE WHEN l.valid BETWEEN interval '0' AND interval '100 days' THEN l.valid ELSE interval '90 seconds' END",

	// c: somebody has been writing for as long as everybody alive needs for a
	// heartbeat. Before that nobody is expired: after an outage, a restart or a
	// jump of the clock all leases look old. Who resumed may have begun after
	// us, and been done before we looked: by our now() that is ahead.
	// A start of the server that is ahead of now says that the clock was set back,
	// and nothing of when the server started.
	"{settled}",
	`(NOT coalesce(c.resumed < now() + {pause} AND c.resumed > now() - {pause}, false)
		AND pg_postmaster_start_time() NOT BETWEEN now() - {pause} AND now())`,

	// c: the cluster is being written. A pulse ahead of now is left from a clock
	// that was set back, which makes leases look old and is a break, too.
	"{pulsing}",
	"coalesce(c.pulse > now() - {pause} AND c.pulse < now() + greatest({pause} / 4, interval '5 seconds'), false)",

	// c: somebody has just looked for leases that have run out.
	"{expiring}",
	"coalesce(c.pulse <= now() AND c.pulse > now() - {pause} / 4, false)",

	// The pause between notifications, in microseconds: a tenth of a millisecond
	// for each process. Negative: the row is missing.
	"{spacing}",
	"coalesce((SELECT (extract(epoch FROM {gap}) * 1000000)::bigint FROM skerry_told t WHERE t.cluster = @cluster), -1)",

	// t: the pause between notifications, and when the last one was.
	"{gap}",
	"CASE WHEN t.pause BETWEEN interval '0' AND interval '10 seconds' THEN t.pause ELSE interval '0' END",
	"{toldat}",
	"CASE WHEN t.at < now() + interval '1 minute' THEN t.at ELSE '-infinity' END",

	// The newest entry of the rule log, NULL while there is none.
	"{newest}",
	`(SELECT ARRAY[timeline, n] FROM skerry_rule WHERE cluster = @cluster AND {placed} ORDER BY timeline DESC, n DESC LIMIT 1)`,

	// The place in the rule log can be that of an entry.
	"{placed}",
	"timeline BETWEEN 0 AND 4294967295 AND n BETWEEN 1 AND {most}",

	// How many rows one statement expires or removes: what a busy server does
	// well within the limit of a statement. It is batchSize of sync.go.
	"{batch}",
	"1000",

	// l: a lease that was missing and that clean has made, less than {pause} ago:
	// it has run out for every reader, and its owner has the time to renew it.
	"{orphaned}",
	"(l.heartbeat = 'epoch' AND l.valid > now() - {pause} - 'epoch'::timestamptz)",

	// Which state the cluster's row of skerry_secret has, NULL while there is
	// none. Each change of the row has another.
	"{secret}",
	"(SELECT xmin::text FROM skerry_secret WHERE cluster = @cluster)",

	// How many more connections the server takes, of those that are for
	// everybody, and of those that the role and the database may have. To count a
	// thousand takes milliseconds, so a site of more than a hundred processes is
	// told only when it asks.
	"{free}",
	`CASE WHEN @crowd::boolean OR {spacing} <= 10000 THEN least(
		{connections} - (SELECT sum(numbackends) FROM pg_stat_database)::bigint,
		(SELECT least({rolelimit} - {roleused}, {dblimit} - {dbused}) FROM pg_roles u, pg_database d
			WHERE u.rolname = session_user AND d.datname = current_database())) END`,
	"{connections}",
	`(current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
		- coalesce(current_setting('reserved_connections', true)::bigint, 0))`,

	// u: the connections that the role may have, NULL for any number, and has.
	"{rolelimit}",
	"CASE WHEN u.rolconnlimit >= 0 AND NOT u.rolsuper THEN u.rolconnlimit END",
	"{roleused}",
	`CASE WHEN u.rolconnlimit >= 0 AND NOT u.rolsuper THEN (SELECT count(*) FROM pg_stat_activity a
		WHERE a.usesysid = u.oid AND coalesce(a.backend_type, 'client backend') = 'client backend') END`,

	// d, u: the same of the database.
	"{dblimit}",
	"CASE WHEN d.datconnlimit >= 0 AND NOT u.rolsuper THEN d.datconnlimit END",
	"{dbused}",
	`(SELECT s.numbackends FROM pg_stat_database s WHERE s.datid = d.oid)`,

	// Are these the tables of a skerry that shared none with later ones?
	"{old}",
	`EXISTS (SELECT FROM (VALUES ('skerry_schema', 'needs'), ('skerry_rule', 'record')) k(t, c)
		WHERE to_regclass(k.t) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = to_regclass(k.t) AND a.attname = k.c AND NOT a.attisdropped))`,

	// May this connection write?
	"{writable}",
	`(NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
		AND coalesce(has_table_privilege(to_regclass('skerry_cluster'), 'UPDATE'), false))`,

	// Those of the owners we list whose lease has run out.
	"{stale}",
	`ARRAY(SELECT o FROM unnest(@owners::text[]) o
		LEFT JOIN skerry_lease l ON l.cluster = @cluster AND l.owner = o
		WHERE l.owner IS NULL OR NOT {alive})`,

	// One row for each instance behind the head, at least one row. Each way of
	// reading has a statement, and so a plan, of its own.
	"{delta}",
	`SELECT head.*, d.j, d.lapsed FROM head LEFT JOIN LATERAL (
		SELECT {row}::text AS j, i.gone = 0 AND i.changed < now() - interval '10 seconds' AND NOT EXISTS (
			SELECT FROM skerry_lease l WHERE l.cluster = i.cluster AND l.owner = i.owner AND {current}) AS lapsed
		FROM skerry_instance i WHERE i.cluster = @cluster AND i.rev > @since AND i.rev <= {most}
			AND (@services::text[] IS NULL OR i.service = ANY (@services)) LIMIT {many}) d ON true`,
	"{many}",
	"5000", // sync.go has it, too

	// All of the services that {of} leaves, with the age of the last heartbeat.
	// What has lapsed is left out, and costs little, however many there are of it.
	// While the cluster has not settled those are shown as lapsed whose owner
	// lived when the cluster was last written before that (past). Of the removed
	// ones the latest thousand are shown.
	"{full}",
	`, past AS (
		SELECT max(l.heartbeat) AS at FROM skerry_lease l, skerry_cluster c
		WHERE l.cluster = @cluster AND c.cluster = @cluster AND l.heartbeat <= now()
			AND NOT ({pulsing} AND l.heartbeat >= c.resumed)
	), living AS (
		SELECT l.owner FROM skerry_lease l WHERE l.cluster = @cluster AND {leased}
		UNION ALL SELECT i.owner FROM skerry_instance i WHERE i.cluster = @cluster
			AND i.changed > now() - @valid::bigint * interval '1 millisecond' AND i.changed < now() + {ahead}
	), waning AS (
		SELECT l.owner FROM skerry_lease l, head
		WHERE l.cluster = @cluster AND NOT head.settled AND l.heartbeat > (SELECT at FROM past) - {valid} AND NOT {leased}
		ORDER BY l.heartbeat DESC LIMIT 1000
	), removed AS (
		SELECT coalesce((SELECT g.rev FROM skerry_instance g WHERE g.cluster = @cluster AND g.gone > 0 AND g.rev <= {most}
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

	// i: one instance as text for notice.go, or what is wrong with it (x), as
	// far as the database has to find that out.
	"{row}",
	`CASE WHEN {finite} AND {short} THEN
		json_strip_nulls(json_build_object('s', i.service, 'v', nullif(i.version, ''), 'h', i.host, 'p', i.port, 'o', i.owner,
		'pr', nullif(i.protocol, ''), 'z', nullif(i.zone, ''), 'w', nullif(i.weight, 0), 'tls', nullif(i.tls, false),
		'l', nullif(i.leaving, false),
		't', nullif(coalesce(i.tags, '[]'), '{}'), 'g', nullif(coalesce(i.gone, -1), 0), 'a', (extract(epoch FROM now() - i.started) * 1000)::bigint,
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

	// i: its owner need not write this row again. More than {row} needs is
	// looked at here, so that a row altered by hand comes back soon.
	"{sane}",
	`({finite} AND {short} AND i.weight BETWEEN -1 AND 10000 AND jsonb_typeof(i.tags) = 'object'
		AND NOT i.tags @? '$.* ? (@.type() <> "string")') IS TRUE`,

	// A revision's next number. One that is out of range is replaced by the time.
	"{next}",
	"CASE WHEN rev BETWEEN 1 AND {most} - 1 THEN rev + 1 ELSE {now} END",
	"{keep}",
	"CASE WHEN kept BETWEEN 0 AND {most} THEN kept ELSE {now} END",

	// bump: one row when the listeners are told of this change now: nothing
	// before it waits to be told, and the pause is over. Otherwise tellSQL will.
	"{telling}",
	`telling AS (
		UPDATE skerry_told t SET rev = b.rev, at = now() FROM bump b
		WHERE t.cluster = @cluster AND @channel::text <> '' AND t.rev >= b.rev - 1
			AND NOT now() BETWEEN {toldat} AND {toldat} + {gap}
		RETURNING b.rev - 1 AS since, b.rev, {gap} AS pause)`,

	// telling, changed: tell the listeners, with the content when it fits.
	"{notify}",
	`pg_notify(@channel, CASE WHEN octet_length(n.full) < 7900 THEN n.full ELSE n.hint END)::text
	FROM (SELECT json_build_object('c', @cluster::text, 'f', b.since, 'r', b.rev, 'i', coalesce((SELECT json_agg(x.j) FROM changed x), '[]'))::text AS full,
		json_build_object('c', @cluster::text, 'r', b.rev, 'p', (5000 * extract(epoch FROM b.pause))::bigint)::text AS hint FROM telling b) n`,
)
