package registry

import "context"

// growth is the table's growth over hours of heartbeats.
func growth(context.Context, float64) error { return nil }
