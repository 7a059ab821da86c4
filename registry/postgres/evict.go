package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/registry"
)

// evictSQL removes the lease and all registrations of the owner @of, unless the lease was renewed less
// than @quiet milliseconds ago.
var evictSQL = statement(`WITH living AS (
		SELECT extract(epoch FROM now() - l.heartbeat) * 1000 AS ago FROM skerry_lease l
		WHERE l.cluster = @cluster AND l.owner = @of
			AND l.heartbeat > now() - @quiet::bigint * interval '1 millisecond'
			AND l.heartbeat < now() + interval '10 seconds'
	), ended AS (
		DELETE FROM skerry_lease l
		WHERE l.cluster = @cluster AND l.owner = @of AND NOT EXISTS (SELECT FROM living) RETURNING 1
	), bump AS (
		UPDATE skerry_revision SET rev = {next}, kept = {keep}
		WHERE cluster = @cluster AND NOT EXISTS (SELECT FROM living)
			AND (SELECT count(*) FROM ended) >= 0 -- the lease first
			AND EXISTS (SELECT FROM skerry_instance i WHERE i.cluster = @cluster AND i.owner = @of AND i.gone = 0)
		RETURNING rev
	), {telling}, dropped AS (
		UPDATE skerry_instance i SET rev = b.rev, gone = 1, changed = now()
		FROM bump b WHERE i.cluster = @cluster AND i.owner = @of AND i.gone = 0 RETURNING i.*
	), changed AS (
		SELECT {row} AS j FROM dropped i LIMIT 150 -- more than a notification may hold
	)
	SELECT (SELECT count(*) FROM dropped WHERE service NOT LIKE 'skerry.%'), (SELECT count(*) FROM bump) > 0,
		coalesce((SELECT max(ago)::bigint FROM living), -1), (SELECT {notify})`)

// Evict takes a process that has ended off the lists, with all that it offered. It returns the number
// of its instances. While its end is not certain, a lease that was renewed within two heartbeats keeps
// it: renewed is how long ago that was, 0 otherwise. A process that lives lists itself again with its
// next heartbeat. Evict takes the rights of a service.
func (r *Registry) Evict(
	ctx context.Context, owner registry.Owner, certain bool,
) (instances int, renewed time.Duration, err error) {
	quiet := 2 * defaultHeartbeat
	if certain {
		quiet = 0
	}
	args := r.args()
	args["of"], args["quiet"] = owner.String(), quiet.Milliseconds()
	ago, later := int64(-1), false
	err = r.withConn(ctx, roleService, func(ctx context.Context, conn *pgx.Conn) error {
		var changed bool
		var told *string
		if err := conn.QueryRow(ctx, evictSQL, args).Scan(&instances, &changed, &ago, &told); err != nil {
			return fmt.Errorf("remove the registrations of %s: %w", owner, err)
		}
		later = changed && told == nil
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	if later {
		r.notifyLater()
	}
	if ago >= 0 {
		renewed = max(1, time.Duration(ago)) * time.Millisecond
	}
	return instances, renewed, nil
}
