package postgres

import "strings"

// Every time in these statements is now() of the database, compared with times
// that it wrote itself. Parameters carry lengths of time, and one kind of
// moment: $latest, the database's own time as it last told us plus what our
// monotonic clock has counted since. A statement that was stuck in a frozen
// server or network for longer than its sender waited finds that moment past
// and changes nothing, so that nobody's lease is renewed after his death.
//
// Any column may hold what no skerry wrote: infinite times, numbers at the end
// of their range, JSON of another kind, NULL. No expression here fails on that:
// a time of a row is compared and never added to, and a number is checked
// before it is counted up. A row that makes no sense is left out or named by
// {row}, which package code turns into an [OddRow].
//
// Lock order: lease, revision, instances.

// fragments that several statements share.
var fragments = strings.NewReplacer(
	// The database's time in microseconds.
	"{now}", "(extract(epoch FROM now()) * 1000000)::bigint",

	// The highest number that a revision or an entry of the rule log may have.
	"{most}", "4611686018427387903",

	// l: the lease has not run out. A time ahead of now is left from a clock
	// that was set back.
	"{alive}", "({misdated} OR l.heartbeat > now() - {valid} AND l.heartbeat < now() + interval '10 seconds')",

	// l: no skerry wrote this heartbeat. It counts until a process that may write
	// has replaced it by now.
	"{misdated}", "coalesce(NOT isfinite(l.heartbeat) OR l.heartbeat > now() + interval '1 day', true)",

	// l: for how long a heartbeat counts.
	"{valid}", "CASE WHEN l.valid BETWEEN interval '0' AND interval '100 days' THEN l.valid ELSE interval '90 seconds' END",

	// c: somebody has been writing for as long as everybody alive needs for a
	// heartbeat. Before that nobody is expired: after an outage, a restart or a
	// jump of the clock all leases look old. Who resumed may have begun after
	// us, and been done before we looked: by our now() that is ahead.
	"{settled}", `(NOT coalesce(c.resumed < now() + {pause} AND c.resumed > now() - {pause}, false)
		AND now() > pg_postmaster_start_time() + {pause})`,
	"{pulsing}", "coalesce(c.pulse > now() - {pause} AND c.pulse < now() + {pause}, false)",

	// c: somebody has just looked for leases that have run out.
	"{expiring}", "coalesce(c.pulse <= now() AND c.pulse > now() - {pause} / 4, false)",

	// The pause between notifications, in microseconds: a tenth of a millisecond
	// for each process. Negative: the row is missing.
	"{spacing}", "coalesce((SELECT (extract(epoch FROM {gap}) * 1000000)::bigint FROM skerry_told t WHERE t.cluster = @cluster), -1)",

	// t: the pause between notifications, and when the last one was.
	"{gap}", "CASE WHEN t.pause BETWEEN interval '0' AND interval '10 seconds' THEN t.pause ELSE interval '0' END",
	"{toldat}", "CASE WHEN t.at < now() + interval '1 minute' THEN t.at ELSE '-infinity' END",

	// The newest entry of the rule log, NULL while there is none.
	"{newest}", `(SELECT ARRAY[timeline, n] FROM skerry_rule WHERE cluster = @cluster AND {placed} ORDER BY timeline DESC, n DESC LIMIT 1)`,

	// The place in the rule log can be that of an entry.
	"{placed}", "timeline BETWEEN 0 AND 4294967295 AND n BETWEEN 1 AND {most}",

	// Which state the cluster's row of skerry_secret has, NULL while there is
	// none. Each change of the row has another.
	"{secret}", "(SELECT xmin::text FROM skerry_secret WHERE cluster = @cluster)",

	// How many more connections the server takes, of those that are for
	// everybody. To count a thousand takes milliseconds, so a site of more than a
	// hundred processes is told only when it asks.
	"{free}", `CASE WHEN @crowd::boolean OR {spacing} <= 10000 THEN (SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
		- (SELECT sum(numbackends) FROM pg_stat_database)::bigint) END`,

	// Are these the tables of a skerry that shared none with later ones?
	"{old}", `EXISTS (SELECT FROM (VALUES ('skerry_schema', 'needs'), ('skerry_rule', 'record')) k(t, c)
		WHERE to_regclass(k.t) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = to_regclass(k.t) AND a.attname = k.c AND NOT a.attisdropped))`,

	// May this connection write?
	"{writable}", `(NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
		AND coalesce(has_table_privilege(to_regclass('skerry_cluster'), 'UPDATE'), false))`,

	// Those of the owners we list whose lease has run out.
	"{stale}", `ARRAY(SELECT o FROM unnest(@owners::text[]) o
		LEFT JOIN skerry_lease l ON l.cluster = @cluster AND l.owner = o
		WHERE l.owner IS NULL OR NOT {alive})`,

	// One row for each instance behind the head, at least one row. Each way of
	// reading has a statement, and so a plan, of its own.
	"{delta}", "{entries} AND i.rev > @since AND i.rev <= {most} AND (@services::text[] IS NULL OR i.service = ANY (@services))) d ON true",
	"{named}", "{beaten} AND i.service = ANY (@services::text[])) d ON true",
	"{whole}", "{beaten}) d ON true",
	"{entries}", `SELECT head.*, d.j FROM head LEFT JOIN LATERAL (
		SELECT {row}::text AS j FROM skerry_instance i WHERE i.cluster = @cluster`,

	// The same with the age of the last heartbeat.
	"{beaten}", `SELECT head.*, d.j FROM head LEFT JOIN LATERAL (
		SELECT ({row}::jsonb || jsonb_build_object('b', CASE WHEN isfinite(h.heartbeat)
			THEN greatest(0, (extract(epoch FROM now() - h.heartbeat) * 1000)::bigint) END))::text AS j
		FROM skerry_instance i LEFT JOIN skerry_lease h ON h.cluster = i.cluster AND h.owner = i.owner WHERE i.cluster = @cluster`,

	// i: one instance as text for notice.go, or what is wrong with it (x), as
	// far as the database has to find that out.
	"{row}", `CASE WHEN {finite} AND {short} THEN
		json_strip_nulls(json_build_object('s', i.service, 'v', nullif(i.version, ''), 'h', i.host, 'p', i.port, 'o', i.owner,
		'pr', nullif(i.protocol, ''), 'z', nullif(i.zone, ''), 'w', nullif(i.weight, 0), 'tls', nullif(i.tls, false), 'l', nullif(i.leaving, false),
		't', nullif(coalesce(i.tags, '[]'), '{}'), 'g', nullif(coalesce(i.gone, -1), 0), 'a', (extract(epoch FROM now() - i.started) * 1000)::bigint,
		'c', CASE WHEN i.gone > 0 THEN (extract(epoch FROM now() - i.changed) * 1000)::bigint END))
	ELSE json_build_object('s', left(i.service, 80), 'h', left(i.host, 80), 'p', i.port, 'o', left(i.owner, 80), 'x',
		CASE WHEN NOT {short} THEN 'its text is longer than any that skerry writes'
			ELSE 'rev ' || coalesce(i.rev::text, 'NULL') || ', started ' || coalesce(i.started::text, 'NULL')
				|| ', changed ' || coalesce(i.changed::text, 'NULL') || ': one of them is impossible' END) END`,
	"{finite}", "(i.rev BETWEEN 1 AND {most} AND isfinite(i.started) AND isfinite(i.changed)) IS TRUE",
	"{short}", `coalesce(octet_length(i.service) + octet_length(i.version) + octet_length(i.host) + octet_length(i.owner)
		+ octet_length(i.protocol) + octet_length(i.zone) + octet_length(i.tags::text) < 4096, true)`,

	// i: its owner need not write this row again. More than {row} needs is
	// looked at here, so that a row altered by hand comes back soon.
	"{sane}", `({finite} AND {short} AND i.weight BETWEEN -1 AND 10000 AND jsonb_typeof(i.tags) = 'object'
		AND NOT i.tags @? '$.* ? (@.type() <> "string")') IS TRUE`,

	// A revision's next number. One that is out of range is replaced by the time.
	"{next}", "CASE WHEN rev BETWEEN 1 AND {most} - 1 THEN rev + 1 ELSE {now} END",
	"{keep}", "CASE WHEN kept BETWEEN 0 AND {most} THEN kept ELSE {now} END",

	// bump: one row when the listeners are told of this change now: nothing
	// before it waits to be told, and the pause is over. Otherwise tellSQL will.
	"{telling}", `telling AS (
		UPDATE skerry_told t SET rev = b.rev, at = now() FROM bump b
		WHERE t.cluster = @cluster AND @channel::text <> '' AND t.rev >= b.rev - 1
			AND NOT now() BETWEEN {toldat} AND {toldat} + {gap}
		RETURNING b.rev - 1 AS since, b.rev, {gap} AS pause)`,

	// telling, changed: tell the listeners, with the content when it fits.
	"{notify}", `pg_notify(@channel, CASE WHEN octet_length(n.full) < 7900 THEN n.full ELSE n.hint END)::text
	FROM (SELECT json_build_object('c', @cluster::text, 'f', b.since, 'r', b.rev, 'i', coalesce((SELECT json_agg(x.j) FROM changed x), '[]'))::text AS full,
		json_build_object('c', @cluster::text, 'r', b.rev, 'p', (5000 * extract(epoch FROM b.pause))::bigint)::text AS hint FROM telling b) n`,
)

func statement(s string) string {
	for range 5 { // a fragment may use others, some times removed
		s = fragments.Replace(s)
	}
	return strings.ReplaceAll(s, "{pause}", "(@pause::bigint * interval '1 millisecond')")
}

// reading is a statement in its three ways: what changed, everything of some
// services, everything.
type reading struct{ delta, named, whole string }

func readings(s string) reading {
	return reading{delta: statement(s + " {delta}"), named: statement(s + " {named}"), whole: statement(s + " {whole}")}
}

// pick is the statement for one way of reading. A role that may not read the
// rule log or the secret is told nothing of them, but of the right to read the
// secret as soon as there is one.
func (r reading) pick(full, all, rules, secret bool) string {
	s := r.delta
	switch {
	case full && all:
		s = r.whole
	case full:
		s = r.named
	}
	if !rules {
		s = strings.Replace(s, newest, "NULL::bigint[]", 1)
	}
	if !secret {
		s = strings.Replace(s, secretState, "CASE WHEN has_table_privilege(to_regclass('skerry_secret'), 'SELECT') THEN '' END", 1)
	}
	return s
}

var newest, secretState = statement("{newest}"), statement("{secret}")

var (
	// hello tells where the connection has led to.
	helloSQL = statement(`SELECT {now}, pg_is_in_recovery(),
		(SELECT count(*) FROM unnest(@tables::text[]) t WHERE to_regclass(t) IS NULL), {old}, {writable}`)

	// version is what the tables say of themselves.
	versionSQL = "SELECT version, coalesce(needs, version) FROM skerry_schema ORDER BY version DESC LIMIT 1"

	// joinSQL makes the rows of a cluster.
	joinSQL = []string{
		"INSERT INTO skerry_cluster (cluster) VALUES (@cluster) ON CONFLICT DO NOTHING",
		"INSERT INTO skerry_revision (cluster) VALUES (@cluster) ON CONFLICT DO NOTHING",
		"INSERT INTO skerry_told (cluster, rev) SELECT cluster, coalesce(rev, 0) FROM skerry_revision WHERE cluster = @cluster ON CONFLICT DO NOTHING",
	}

	// beat renews the lease, takes the pulse when it is due (one process of
	// the cluster does), and reads what changed since.
	beatSQL = readings(`WITH beat AS (
		UPDATE skerry_lease SET heartbeat = now()
		WHERE cluster = @cluster AND owner = @owner AND {now} <= @latest RETURNING 1
	), due AS (
		SELECT cluster FROM skerry_cluster
		WHERE cluster = @cluster AND (pulse < now() - {pause} / 8 OR pulse > now() OR pulse IS NULL)
		FOR UPDATE SKIP LOCKED
	), pulse AS (
		UPDATE skerry_cluster c SET pulse = now(),
			resumed = CASE WHEN {pulsing} THEN coalesce(c.resumed, now()) ELSE now() END,
			cleaned = CASE WHEN c.cleaned BETWEEN now() - interval '10 minutes' AND now() THEN c.cleaned ELSE now() END
		FROM due WHERE c.cluster = due.cluster RETURNING c.cleaned = now() AS clean
	), head AS (
		SELECT {now} AS now, coalesce(r.rev, 0) AS rev, coalesce(r.kept, 0) AS kept, {settled} AND {pulsing} AS settled,
			true AS writable, {expiring} AS expiring, {spacing} AS spacing,
			(SELECT count(*) FROM beat) AS leased,
			(SELECT count(*) FROM skerry_instance i WHERE i.cluster = @cluster AND i.owner = @owner AND i.gone = 0 AND {sane}) AS mine,
			(SELECT count(*) FROM pulse) > 0 AS pulsed,
			coalesce((SELECT clean FROM pulse), false) AS clean,
			{newest} AS newest, {secret} AS secret, {free} AS free,
			{stale} AS stale
		FROM skerry_cluster c JOIN skerry_revision r USING (cluster) WHERE c.cluster = @cluster
	)`)

	// read is beat for those who may not or cannot write. Without a pulse they
	// trust in old leases only when they have watched long enough themselves.
	readSQL = readings(`WITH head AS (
		SELECT {now} AS now, coalesce(r.rev, 0) AS rev, coalesce(r.kept, 0) AS kept,
			{settled} AND ({pulsing} OR @watching::boolean AND NOT pg_is_in_recovery()) AS settled,
			{writable} AS writable, {expiring} AS expiring, {spacing} AS spacing, 0 AS leased, 0 AS mine, false AS pulsed, false AS clean,
			{newest} AS newest, {secret} AS secret, {free} AS free,
			{stale} AS stale
		FROM skerry_cluster c JOIN skerry_revision r USING (cluster) WHERE c.cluster = @cluster
	)`)

	// list makes put listed and drop gone, as one change.
	listSQL = statement(`WITH intime AS (
		SELECT 1 WHERE {now} <= @latest
	), lease AS (
		INSERT INTO skerry_lease AS l (cluster, owner, heartbeat, valid)
		SELECT @cluster, @owner, now(), @valid::bigint * interval '1 millisecond' FROM intime
		WHERE json_array_length(@put::json) > 0
		ON CONFLICT (cluster, owner) DO UPDATE SET heartbeat = now(), valid = excluded.valid RETURNING 1
	), bump AS (
		UPDATE skerry_revision SET rev = {next}, kept = {keep}
		WHERE cluster = @cluster AND EXISTS (SELECT FROM intime) AND (SELECT count(*) FROM lease) >= 0 -- the lease first
		RETURNING rev
	), {telling}, put AS (
		INSERT INTO skerry_instance AS i
			(cluster, service, version, host, port, owner, protocol, zone, weight, tls, leaving, tags, started, rev, gone, changed)
		SELECT @cluster, w.s, coalesce(w.v, ''), w.h, w.p, @owner, coalesce(w.pr, ''), coalesce(w.z, ''), coalesce(w.w, 0),
			coalesce(w.tls, false), coalesce(w.l, false), coalesce(w.t, '{}'), now() - coalesce(w.a, 0) * interval '1 millisecond', b.rev, 0, now()
		FROM bump b, json_to_recordset(@put::json)
			AS w(s text, v text, h text, p integer, pr text, z text, w integer, tls boolean, l boolean, t jsonb, a bigint)
		ON CONFLICT (cluster, service, version, host, port, owner) DO UPDATE SET
			protocol = excluded.protocol, zone = excluded.zone, weight = excluded.weight, tls = excluded.tls, tags = excluded.tags,
				leaving = excluded.leaving,
			started = excluded.started, rev = excluded.rev, gone = 0, changed = excluded.changed
		RETURNING i.*
	), dropped AS (
		UPDATE skerry_instance i SET rev = b.rev, gone = 1, changed = now()
		FROM bump b, json_to_recordset(@drop::json) AS d(s text, v text, h text, p integer)
		WHERE i.cluster = @cluster AND i.service = d.s AND i.version = coalesce(d.v, '') AND i.host = d.h AND i.port = d.p
			AND i.owner = @owner AND i.gone = 0
		RETURNING i.*
	), changed AS (
		SELECT {row} AS j FROM put i UNION ALL SELECT {row} FROM dropped i
	)
	SELECT {now}, (SELECT rev FROM bump), (SELECT {notify})`)

	// expire marks what dead processes left behind as gone.
	expireSQL = statement(`WITH mended AS (
		UPDATE skerry_lease l SET heartbeat = now() WHERE l.cluster = @cluster AND {misdated}
	), dead AS (
		DELETE FROM skerry_lease l USING skerry_cluster c
		WHERE l.cluster = @cluster AND c.cluster = @cluster AND {settled} AND {pulsing} AND NOT {alive}
		RETURNING l.owner
	), bump AS (
		UPDATE skerry_revision SET rev = {next}, kept = {keep}
		WHERE cluster = @cluster AND (SELECT count(*) FROM dead) > 0 RETURNING rev -- all leases first
	), {telling}, expired AS (
		UPDATE skerry_instance i SET rev = b.rev, gone = 2, changed = now()
		FROM bump b, dead WHERE i.cluster = @cluster AND i.owner = dead.owner AND i.gone = 0 RETURNING i.*
	), changed AS (
		SELECT {row} AS j FROM expired i
	)
	SELECT array(SELECT owner FROM dead ORDER BY owner), (SELECT {notify})`)

	// tell sends what waits to be told, when the pause is over. It returns how
	// many milliseconds are left till then, null when nothing waits.
	tellSQL = statement(`WITH waiting AS (
		SELECT coalesce(t.rev, 0) AS since, r.rev, {toldat} + {gap} AS due FROM skerry_told t JOIN skerry_revision r USING (cluster)
		WHERE t.cluster = @cluster AND @channel::text <> '' AND coalesce(t.rev, 0) < r.rev AND r.rev <= {most} FOR UPDATE OF t SKIP LOCKED
	), changed AS (
		SELECT {row} AS j FROM skerry_instance i, waiting w
		WHERE i.cluster = @cluster AND i.rev > w.since AND i.rev <= w.rev AND NOT w.due > now() LIMIT 100
	), telling AS (
		UPDATE skerry_told t SET rev = w.rev, at = now() + 4 * {gap} * ((SELECT count(*) FROM changed) = 100)::int
		FROM waiting w WHERE t.cluster = @cluster AND NOT w.due > now() RETURNING w.since, w.rev, {gap} AS pause
	)
	SELECT (SELECT ceil(extract(epoch FROM due - now()) * 1000)::bigint FROM waiting WHERE due > now()), (SELECT {notify})`)

	// paceSQL fits the pause to the number of processes: to wake one costs the
	// server about 50 µs, and it may spend half of its time on that.
	paceSQL = statement(`UPDATE skerry_told t SET pause = p.pause
		FROM (SELECT least(count(*), 100000) * interval '100 microseconds' AS pause FROM skerry_lease WHERE cluster = @cluster) p
		WHERE t.cluster = @cluster AND (NOT p.pause BETWEEN {gap} * 0.8 AND {gap} * 1.2 OR {gap} IS DISTINCT FROM t.pause)`)

	// bloatSQL names the tables that heartbeats and changes write again and
	// again and that take several times the space of their rows. Heartbeats
	// leave no index entries, and their space is reused at once, unless some
	// snapshot in the database is older.
	bloatSQL = `SELECT ARRAY(SELECT 'skerry_lease' WHERE pg_relation_size('skerry_lease') > 8192 * (32 + (SELECT count(*) FROM skerry_lease) / 10)
		UNION ALL SELECT t FROM unnest(ARRAY['skerry_cluster', 'skerry_revision', 'skerry_told']) t
			WHERE pg_relation_size(t::regclass) > 8192 * 4)`

	// repackSQL writes the rows of a table into an empty one, which VACUUM
	// FULL does not: it takes along what old snapshots may see.
	repackSQL = `DO $$ DECLARE kept {table}[]; BEGIN
		LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT;
		kept := ARRAY(SELECT t FROM {table} t);
		TRUNCATE {table};
		INSERT INTO {table} SELECT * FROM unnest(kept);
	END $$`

	// leaveSQL ends the lease of a process that has withdrawn everything.
	leaveSQL = "DELETE FROM skerry_lease WHERE cluster = @cluster AND owner = @owner"

	// mineSQL is what is listed of this process.
	mineSQL = statement(`SELECT service, version, host, port FROM skerry_instance i
		WHERE cluster = @cluster AND owner = @owner AND gone = 0 AND {sane}`)

	cleanSQL = []string{
		// Instances without a lease: somebody deleted it. The next run of
		// expire takes them, unless their owner is alive and renews it first.
		statement(`INSERT INTO skerry_lease (cluster, owner, heartbeat, valid)
			SELECT DISTINCT i.cluster, i.owner, now(), @valid::bigint * interval '1 millisecond' FROM skerry_instance i
			WHERE i.cluster = @cluster AND i.gone = 0
				AND NOT EXISTS (SELECT FROM skerry_lease l WHERE l.cluster = i.cluster AND l.owner = i.owner)
			ON CONFLICT DO NOTHING`),
		// Removed instances that every reader has seen; who has been away for
		// longer finds its revision below kept and reads everything.
		statement(`WITH lock AS (
				SELECT cluster FROM skerry_revision WHERE cluster = @cluster FOR UPDATE
			), old AS (
				DELETE FROM skerry_instance i USING lock
				WHERE i.cluster = lock.cluster AND i.gone > 0
					AND i.changed < now() - greatest(interval '10 minutes', @valid::bigint * interval '4 milliseconds') RETURNING i.rev
			)
			UPDATE skerry_revision r SET kept = greatest(r.kept, o.rev)
			FROM (SELECT max(rev) AS rev FROM old WHERE rev <= {most}) o WHERE r.cluster = @cluster AND o.rev IS NOT NULL`),
		statement(`DELETE FROM skerry_call_stat WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM skerry_call_stat
			WHERE cluster = @cluster AND (to_at < now() - @keep::bigint * interval '1 millisecond' OR to_at = 'infinity')
			LIMIT 10000))`),
	}
)
