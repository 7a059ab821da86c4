package postgres

import (
	"context"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// Statements rely on read committed, which a connection asks for at its start. A pooler of
// transactions passes that on to no server. Where the database makes transactions serializable by
// default, it then refuses statements because of others at the same moment, and has done nothing.
const notSerialized = "40001"

// Tries of such a statement, and the pause after the first. Each pause is that much longer.
const (
	serialTries = 20
	serialPause = 5 * time.Millisecond
)

// serially repeats a statement, or a transaction that is safe to repeat, while the database refuses
// it because of others at the same moment. ctx bounds the pauses; each try has its own limit.
func serially(ctx context.Context, statement func() error) error {
	for try := 1; ; try++ {
		err := statement()
		if sqlState(err) != notSerialized || try == serialTries ||
			run.Sleep(ctx, run.Jitter(time.Duration(try)*serialPause, 0.5)) != nil {
			return err
		}
	}
}
