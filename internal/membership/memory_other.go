//go:build !linux

package membership

import "runtime/metrics"

// residentMemory is the memory that the Go runtime has of the host, in bytes: other systems tell no more without a
// library of theirs.
func residentMemory() int64 {
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(all)
	for _, s := range all {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return int64(all[0].Value.Uint64() - all[1].Value.Uint64())
}
