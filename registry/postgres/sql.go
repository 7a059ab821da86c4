package postgres

import "strings"

// Every time in these statements is now() of the database, compared with times that it wrote
// itself. Parameters carry lengths of time and one kind of moment: $latest, the database's last
// answer plus the monotonic time since then. A statement that a frozen server or network held
// longer than its sender waited finds that moment past and changes nothing. The lease of a dead
// process is thus never renewed.
//
// Any column may hold values that no skerry wrote: infinite times, numbers at the end of their
// range, JSON of another kind, NULL. No expression here fails on that: a time of a row is compared
// and never added to, and a number is checked before it is counted up. An odd row is left out, or
// named by {row}, which parseRow turns into an [OddRow].
//
// Lock order: lease, revision, instances.

func statement(s string) string {
	for range 5 { // a fragment may use others, nested up to five deep
		s = fragments.Replace(s)
	}
	return strings.ReplaceAll(s, "{pause}", "(@pause::bigint * interval '1 millisecond')")
}

// reading is a statement in three forms: what changed, everything of some services, everything.
type reading struct{ delta, named, whole string }

func readings(s string) reading {
	full := statement(s + "{full}")
	return reading{
		delta: statement(s + " {delta}"),
		named: strings.ReplaceAll(full, "{of}", "AND i.service = ANY (@services::text[])"),
		whole: strings.ReplaceAll(full, "{of}", ""),
	}
}

// pick returns the statement for one way of reading. A role that may not read the rule log, the
// policy or the secret gets none of it. It learns of the right to read the secret as soon as it has
// that right.
func (r reading) pick(full, all bool, of logs) string {
	s := r.delta
	switch {
	case full && all:
		s = r.whole
	case full:
		s = r.named
	}
	if !of.rules {
		s = strings.Replace(s, newest, "NULL::bigint[]", 1)
	}
	if !of.policy {
		s = strings.Replace(s, newestPolicy, "NULL::text", 1)
	}
	if !of.secret {
		s = strings.Replace(s, secretState,
			"CASE WHEN has_table_privilege(to_regclass('skerry_secret'), 'SELECT') THEN '' END", 1)
	}
	return s
}

var newest, newestPolicy, secretState = statement("{newest}"), statement("{policy}"), statement("{secret}")

// logs says what a beat reads beside the registry.
type logs struct{ rules, policy, secret bool }

var (
	// helloSQL describes the server of a new connection.
	helloSQL = statement(`SELECT {now}, pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
		(SELECT count(*) FROM unnest(@tables::text[]) t WHERE to_regclass(t) IS NULL), {old}, {writable}`)

	// versionSQL returns the version of the tables, and the version that a program must know.
	versionSQL = "SELECT version, coalesce(needs, version) FROM skerry_schema ORDER BY version DESC LIMIT 1"

	// joinSQL makes the rows of a cluster.
	joinSQL = []string{
		"INSERT INTO skerry_cluster (cluster) VALUES (@cluster) ON CONFLICT DO NOTHING",
		"INSERT INTO skerry_revision (cluster) VALUES (@cluster) ON CONFLICT DO NOTHING",
		"INSERT INTO skerry_told (cluster, rev) SELECT cluster, coalesce(rev, 0) FROM skerry_revision " +
			"WHERE cluster = @cluster ON CONFLICT DO NOTHING",
	}

	// beatSQL renews the lease, takes the pulse when it is due (in one process of the cluster), and
	// reads what changed since.
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
			(SELECT count(*) FROM beat, skerry_lease l
				WHERE l.cluster = @cluster AND l.owner = @owner AND {leased}) AS leased,
			own.mine, own.mine_rev,
			(SELECT count(*) FROM pulse) > 0 AS pulsed,
			coalesce((SELECT clean FROM pulse), false) AS clean,
			{newest} AS newest, {policy} AS policy, {secret} AS secret, {free} AS free,
			{stale} AS stale
		FROM skerry_cluster c JOIN skerry_revision r USING (cluster), LATERAL (
			SELECT count(*) AS mine, coalesce(max(i.rev), 0) AS mine_rev FROM skerry_instance i
			WHERE i.cluster = @cluster AND i.owner = @owner AND i.gone = 0 AND {sane}) own
		WHERE c.cluster = @cluster
	)`)

	// readSQL is beatSQL for connections that may not or can't write. Without a pulse they consider
	// a lease old only after they have watched for long enough themselves.
	readSQL = readings(`WITH head AS (
		SELECT {now} AS now, coalesce(r.rev, 0) AS rev, coalesce(r.kept, 0) AS kept,
			{settled} AND ({pulsing} OR @watching::boolean AND NOT pg_is_in_recovery()) AS settled,
			{writable} AS writable, {expiring} AS expiring, {spacing} AS spacing,
			0 AS leased, 0 AS mine, 0::bigint AS mine_rev, false AS pulsed, false AS clean,
			{newest} AS newest, {policy} AS policy, {secret} AS secret, {free} AS free,
			{stale} AS stale
		FROM skerry_cluster c JOIN skerry_revision r USING (cluster) WHERE c.cluster = @cluster
	)`)

	// listSQL writes the registrations put and removes drop, as one change.
	listSQL = statement(`WITH intime AS (
		SELECT 1 WHERE {now} <= @latest
	), lease AS (
		INSERT INTO skerry_lease AS l (cluster, owner, heartbeat, valid)
		SELECT @cluster, @owner, now(), @valid::bigint * interval '1 millisecond' FROM intime
		WHERE json_array_length(@put::json) > 0
		ON CONFLICT (cluster, owner) DO UPDATE SET heartbeat = now(), valid = excluded.valid RETURNING 1
	), bump AS (
		UPDATE skerry_revision SET rev = {next}, kept = {keep}
		WHERE cluster = @cluster AND EXISTS (SELECT FROM intime)
			AND (SELECT count(*) FROM lease) >= 0 -- the lease first
		RETURNING rev
	), {telling}, put AS (
		INSERT INTO skerry_instance AS i
			(cluster, service, version, host, port, owner, protocol, zone, weight, tls, leaving, tags,
			started, rev, gone, changed)
		SELECT @cluster, w.s, coalesce(w.v, ''), w.h, w.p, @owner, coalesce(w.pr, ''), coalesce(w.z, ''),
			coalesce(w.w, 0), coalesce(w.tls, false), coalesce(w.l, false), coalesce(w.t, '{}'),
			now() - coalesce(w.a, 0) * interval '1 millisecond', b.rev, 0, now()
		FROM bump b, json_to_recordset(@put::json) AS w(s text, v text, h text, p integer, pr text, z text, w integer,
			tls boolean, l boolean, t jsonb, a bigint)
		ON CONFLICT (cluster, service, version, host, port, owner) DO UPDATE SET
			protocol = excluded.protocol, zone = excluded.zone, weight = excluded.weight, tls = excluded.tls,
			tags = excluded.tags, leaving = excluded.leaving,
			started = excluded.started, rev = excluded.rev, gone = 0, changed = excluded.changed
		RETURNING i.*
	), dropped AS (
		UPDATE skerry_instance i SET rev = b.rev, gone = 1, changed = now()
		FROM bump b, json_to_recordset(@drop::json) AS d(s text, v text, h text, p integer)
		WHERE i.cluster = @cluster AND i.service = d.s AND i.version = coalesce(d.v, '')
			AND i.host = d.h AND i.port = d.p AND i.owner = @owner AND i.gone = 0
		RETURNING i.*
	), changed AS (
		SELECT {row} AS j FROM put i UNION ALL SELECT {row} FROM dropped i
	)
	SELECT {now}, (SELECT rev FROM bump), (SELECT {notify})`)

	// mendSQL gives a new heartbeat to leases with an impossible one: now, or the one of a lease that
	// has just run out.
	mendSQL = statement(`UPDATE skerry_lease l
		SET heartbeat = CASE WHEN {leased} THEN now() ELSE now() - {valid} END
		WHERE l.ctid = ANY (ARRAY(
			SELECT l.ctid FROM skerry_lease l WHERE l.cluster = @cluster AND {misdated}
			LIMIT {batch} FOR UPDATE SKIP LOCKED))`)

	// expireSQL marks registrations of dead processes as gone, at most {batch}. It returns the
	// numbers of instances and leases. A lease goes with the last of its instances. Rows that
	// another session holds stay for the next call.
	expireSQL = statement(`WITH dead AS (
		SELECT l.owner FROM skerry_lease l
		WHERE l.cluster = @cluster AND NOT {alive} AND NOT {orphaned}
			AND EXISTS (SELECT FROM skerry_cluster c WHERE c.cluster = @cluster AND {settled} AND {pulsing})
		LIMIT {batch} FOR UPDATE OF l SKIP LOCKED
	), bump AS (
		UPDATE skerry_revision SET rev = {next}, kept = {keep}
		WHERE cluster = @cluster AND (SELECT count(*) FROM dead) > 0 RETURNING rev -- all leases first
	), picked AS (
		SELECT i.ctid AS row FROM skerry_instance i
		WHERE i.cluster = @cluster AND i.gone = 0 AND (SELECT count(*) FROM bump) > 0
			AND i.owner = ANY (ARRAY(SELECT owner FROM dead)) LIMIT {batch} FOR UPDATE OF i SKIP LOCKED
	), {telling}, expired AS (
		UPDATE skerry_instance i SET rev = b.rev, gone = 2, changed = now()
		FROM bump b WHERE i.ctid = ANY (ARRAY(SELECT row FROM picked)) RETURNING i.*
	), remaining AS (
		SELECT i.owner FROM skerry_instance i
		WHERE i.cluster = @cluster AND i.owner = ANY (ARRAY(SELECT owner FROM dead))
			AND i.gone = 0 AND i.ctid NOT IN (SELECT row FROM picked)
	), ended AS (
		DELETE FROM skerry_lease l WHERE l.cluster = @cluster AND l.owner = ANY (ARRAY(SELECT owner FROM dead))
			AND l.owner NOT IN (SELECT owner FROM remaining)
		RETURNING l.owner
	), changed AS (
		SELECT {row} AS j FROM expired i LIMIT 150 -- more than a notification may hold
	)
	SELECT (SELECT count(*) FROM expired), array(SELECT owner FROM ended ORDER BY owner), (SELECT {notify})`)

	// notifySQL notifies of waiting changes when the pause is over. It returns the milliseconds
	// until then, or NULL when none waits. In a restored backup the waiting changes may be those of
	// processes that have died; a living owner lists itself again.
	notifySQL = statement(`WITH waiting AS (
		SELECT coalesce(t.rev, 0) AS since, r.rev, {toldat} + {gap} AS due
		FROM skerry_told t JOIN skerry_revision r USING (cluster)
		WHERE t.cluster = @cluster AND @channel::text <> '' AND coalesce(t.rev, 0) < r.rev AND r.rev <= {most}
		FOR UPDATE OF t SKIP LOCKED
	), changed AS (
		SELECT {row} AS j FROM skerry_instance i, waiting w
		WHERE i.cluster = @cluster AND i.rev > w.since AND i.rev <= w.rev AND NOT w.due > now()
			AND {lapsed} IS NOT TRUE
		LIMIT 150 -- more than a notification may hold
	), telling AS (
		UPDATE skerry_told t SET rev = w.rev, at = now() + 4 * {gap} * ((SELECT count(*) FROM changed) = 150)::int
		FROM waiting w WHERE t.cluster = @cluster AND NOT w.due > now() RETURNING w.since, w.rev, {gap} AS pause
	)
	SELECT (SELECT ceil(extract(epoch FROM due - now()) * 1000)::bigint FROM waiting WHERE due > now()),
		(SELECT {notify})`)

	// notifyPauseSQL fits the pause to the number of processes. Waking one costs the server about
	// 50 µs, and it may spend half of its time on that.
	notifyPauseSQL = statement(`UPDATE skerry_told t SET pause = p.pause
		FROM (SELECT least(count(*), 100000) * interval '100 microseconds' AS pause FROM skerry_lease l
			WHERE l.cluster = @cluster AND {leased}) p, skerry_cluster c
		WHERE t.cluster = @cluster AND c.cluster = @cluster AND {settled} AND {pulsing}
			AND (NOT p.pause BETWEEN {gap} * 0.8 AND {gap} * 1.2 OR {gap} IS DISTINCT FROM t.pause)`)

	// bloatSQL names the often written tables that take several times the space of their rows.
	// Heartbeats leave no index entries, and the server reuses their space at once, unless a
	// snapshot in the database is older.
	bloatSQL = `SELECT ARRAY(SELECT 'skerry_lease'
			WHERE pg_relation_size('skerry_lease') > 8192 * (32 + (SELECT count(*) FROM skerry_lease) / 10)
		UNION ALL SELECT t FROM unnest(ARRAY['skerry_cluster', 'skerry_revision', 'skerry_told']) t
			WHERE pg_relation_size(t::regclass) > 8192 * 4)`

	// compactSQL writes the rows of a table into an empty one. VACUUM FULL does not suffice,
	// because it keeps the rows that old snapshots may see.
	compactSQL = `DO $$ DECLARE kept {table}[]; BEGIN
		LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT;
		kept := ARRAY(SELECT t FROM {table} t);
		TRUNCATE {table};
		INSERT INTO {table} SELECT * FROM unnest(kept);
	END $$`

	// vouchSQL shows by the instances of this process that it lives, while another session holds
	// its lease.
	vouchSQL = statement(`UPDATE skerry_instance SET changed = now()
		WHERE cluster = @cluster AND owner = @owner AND gone = 0 AND {now} <= @latest`)

	// leaveSQL ends the lease of a process that has deregistered everything.
	leaveSQL = "DELETE FROM skerry_lease WHERE cluster = @cluster AND owner = @owner"

	// mineSQL returns the registrations of this process.
	mineSQL = statement(`SELECT service, version, host, port, rev FROM skerry_instance i
		WHERE cluster = @cluster AND owner = @owner AND gone = 0 AND {sane}`)

	cleanSQL = []string{
		// Instances without a lease, which was deleted by hand: they get one that has run out, from
		// which the owner recovers with its next heartbeat. Otherwise expireSQL removes them later;
		// see {orphaned}.
		statement(`INSERT INTO skerry_lease (cluster, owner, heartbeat, valid)
			SELECT DISTINCT i.cluster, i.owner, timestamptz 'epoch', now() - timestamptz 'epoch' FROM skerry_instance i
			WHERE i.cluster = @cluster AND i.gone = 0
				AND NOT EXISTS (SELECT FROM skerry_lease l WHERE l.cluster = i.cluster AND l.owner = i.owner)
			LIMIT {batch} ON CONFLICT DO NOTHING`),
		// Removed instances that every reader has seen. A reader that was away for longer finds its
		// revision below kept, and reads everything.
		statement(`WITH lock AS (
				SELECT cluster FROM skerry_revision WHERE cluster = @cluster FOR UPDATE
			), old AS (
				DELETE FROM skerry_instance i WHERE i.ctid = ANY (ARRAY(
					SELECT i.ctid FROM skerry_instance i, lock
					WHERE i.cluster = lock.cluster AND i.gone > 0 AND i.changed NOT BETWEEN
						now() - greatest(interval '10 minutes', @valid::bigint * interval '4 milliseconds')
						AND now() + interval '1 day' -- ahead: from before the clock was set back
					LIMIT {batch} FOR UPDATE OF i SKIP LOCKED)) RETURNING i.rev
			)
			UPDATE skerry_revision r SET kept = greatest(r.kept, o.rev)
			FROM (SELECT max(rev) AS rev FROM old WHERE rev <= {most}) o
			WHERE r.cluster = @cluster AND o.rev IS NOT NULL`),
		statement(`DELETE FROM skerry_call_stat WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM skerry_call_stat WHERE cluster = @cluster
				AND to_at NOT BETWEEN now() - @keep::bigint * interval '1 millisecond' AND now() + interval '1 day'
			LIMIT {batch}))`),
	}
)
