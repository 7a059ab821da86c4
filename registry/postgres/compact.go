package postgres

import (
	"context"
	"fmt"
	"strings"
)

// compact rewrites tables that have grown beside a long transaction, which
// keeps the server from reusing the space of old row versions. It never waits
// for a lock: a table that another session reads for long, as a dump does, is
// left as it is and compacted later.
func (s *session) compact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var bloated []string
	if err := s.conn.QueryRow(ctx, bloatSQL).Scan(&bloated); err != nil {
		return fmt.Errorf("look at the size of the tables: %w", err)
	}
	for _, table := range bloated {
		_, err := s.conn.Exec(ctx, strings.ReplaceAll(compactSQL, "{table}", table))
		switch code := sqlState(err); {
		case err == nil:
			s.r.log.Info("table repacked: a long transaction keeps the database from reusing space", "table", table)
		case code == lockedNow:
		case code == noRight && s.compactRefused:
		case code == noRight:
			s.compactRefused = true
			s.r.log.Warn("table grows beside a long transaction; the right to TRUNCATE it would mend that, "+
				"see `skerry schema --grant-service`", "table", table)
		default:
			return fmt.Errorf("repack %s: %w", table, err)
		}
	}
	return nil
}
